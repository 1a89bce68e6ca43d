//! Reads our own headers: functions, callback types, the comments before them, and the titles of sections.
//!
//! It knows the form that these headers have and no other: a comment that ends on a line of its own, declarations that
//! begin at the left margin, titles between `====` or `----`.

use crate::page::plain;

/// Parameters that are written like a sentence's first word.
const CAPITAL_PARAMETERS: &[&str] =
    &["Offset", "Length", "ProbedBars", "RuntimeFileName", "ProcessorFeaturesString"];

/// Something of a header, in its order.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The title of a section.
    Section(String),
    /// A comment that belongs to no declaration.
    Prose(Vec<Paragraph>),
    /// Functions, or types of callbacks, that share a comment.
    Functions { names: Vec<String>, prototypes: Vec<String>, paragraphs: Vec<Paragraph> },
}

/// A part of a comment.
#[derive(Debug, PartialEq, Eq)]
pub enum Paragraph {
    /// Markdown.
    Text(String),
    /// Lines that stand as they are.
    Code(String),
}

/// Reads a header.
pub fn read(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut comment: Option<Vec<Paragraph>> = None;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(title) = section(line) {
            items.push(Item::Section(title.to_owned()));
            comment = None;
        } else if line.starts_with("/*") {
            let mut body = vec![line];
            while !body.last().is_some_and(|last| last.trim_end().ends_with("*/")) {
                let Some(next) = lines.next() else { break };
                body.push(next);
            }
            let paragraphs = paragraphs(&body);
            if line.starts_with("/**") {
                comment = Some(paragraphs);
            } else {
                items.push(Item::Prose(paragraphs));
            }
        } else if begins_declaration(line) {
            let mut declaration = line.to_owned();
            while !declaration.contains(';') && !declaration.contains('{') {
                let Some(next) = lines.next() else { break };
                if next.starts_with('{') {
                    break;
                }
                declaration += "\n";
                declaration += next;
            }
            let Some(name) = name(&declaration) else {
                // A type: what it holds says its own.
                while declaration.contains('{') && !declaration.contains('}') {
                    let Some(next) = lines.next() else { break };
                    declaration = declaration + "\n" + next;
                }
                comment = None;
                continue;
            };
            match (comment.take(), items.last_mut()) {
                (Some(paragraphs), _) => items.push(Item::Functions {
                    names: vec![name],
                    prototypes: vec![declaration],
                    paragraphs,
                }),
                (None, Some(Item::Functions { names, prototypes, .. })) => {
                    names.push(name);
                    prototypes.push(declaration);
                }
                (None, _) => {}
            }
        } else if line.starts_with('#') && !line.starts_with("#define") {
            // The comment at the head of a file is of the file; one before a macro is for who reads the header.
            match comment.take() {
                Some(paragraphs) if items.is_empty() => items.push(Item::Prose(paragraphs)),
                _ => {}
            }
        }
    }
    // What is told of types, constants and macros is in the header.
    let leads_to_functions = |index: usize, item: &Item| {
        let next = items[index + 1..].iter().find(|next| !matches!(next, Item::Prose(_)));
        index == 0 || matches!(item, Item::Functions { .. }) || matches!(next, Some(Item::Functions { .. }))
    };
    let kept: Vec<bool> =
        items.iter().enumerate().map(|(index, item)| leads_to_functions(index, item)).collect();
    let mut kept = kept.into_iter();
    items.retain(|_| kept.next() == Some(true));
    items
}

fn section(line: &str) -> Option<&str> {
    let inside = line.strip_prefix("/* ")?.trim_end().strip_suffix("*/")?.trim();
    let title = inside.trim_matches(['=', '-']).trim();
    (title.len() + 6 < inside.len() && !title.starts_with("Layout")).then_some(title)
}

fn begins_declaration(line: &str) -> bool {
    let first = line.chars().next();
    first.is_some_and(|letter| letter.is_ascii_alphabetic())
        && !["extern", "static_assert", "DEFINE_", "__extension__"].iter().any(|word| line.starts_with(word))
}

/// The name of the function, or of the type of callbacks, that a text declares.
fn name(declaration: &str) -> Option<String> {
    if declaration.starts_with("typedef") {
        let inside = declaration.split_once("(CALLBACK *")?.1;
        return Some(inside.split_once(')')?.0.to_owned());
    }
    let before = declaration.split_once('(')?.0;
    let name = before.rsplit([' ', '*']).next()?;
    (!name.is_empty() && !before.contains('{')).then(|| name.to_owned())
}

/// The parts of a comment, without what marks it as one.
fn paragraphs(lines: &[&str]) -> Vec<Paragraph> {
    let mut found = Vec::new();
    let mut text: Vec<String> = Vec::new();
    let mut code: Vec<&str> = Vec::new();
    for line in lines {
        let line = line.trim_start_matches("/**").trim_start_matches("/*").trim_end_matches("*/").trim_end();
        let line = line.strip_prefix(" *").unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line);
        if let Some(inside) = line.strip_prefix("    ") {
            flush_text(&mut text, &mut found);
            code.push(inside);
        } else if line.trim().is_empty() {
            flush_text(&mut text, &mut found);
            flush_code(&mut code, &mut found);
        } else {
            flush_code(&mut code, &mut found);
            let item = of_parameter(line);
            let in_list = text.first().is_some_and(|first| first.starts_with("- "));
            let begins = line.starts_with(|letter: char| letter.is_ascii_uppercase())
                && text.last().is_some_and(|last| last.ends_with(['.', ':']));
            if in_list && item.is_none() && begins {
                flush_text(&mut text, &mut found);
            }
            text.push(item.unwrap_or_else(|| plain(line)));
        }
    }
    flush_text(&mut text, &mut found);
    flush_code(&mut code, &mut found);
    found
}

/// A line that tells of a parameter is an item of a list.
fn of_parameter(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(": ")?;
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
    let starts_small = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    let known = starts_small || CAPITAL_PARAMETERS.contains(&name);
    (known && name.split(", ").all(is_name)).then(|| {
        let names: Vec<String> = name.split(", ").map(|name| format!("`{name}`")).collect();
        format!("- {}: {}", names.join(", "), plain(rest))
    })
}

fn flush_text(text: &mut Vec<String>, found: &mut Vec<Paragraph>) {
    if !text.is_empty() {
        found.push(Paragraph::Text(text.join("\n")));
        text.clear();
    }
}

fn flush_code(code: &mut Vec<&str>, found: &mut Vec<Paragraph>) {
    if !code.is_empty() {
        found.push(Paragraph::Code(code.join("\n")));
        code.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_comments_and_sections() {
        let header = "\
/**\n * Head.h: what it is.\n */\n#ifndef HEAD_H\n#define HEAD_H\n\n\
/* ==== Operations ========= */\n\n\
/**\n * Does it.\n *\n * id: which.\n *\n *     E_FAIL   it fails\n */\nHRESULT Do(PCWSTR id,\n           int *two);\n\n\
/** A kind. */\ntypedef enum KIND {\n    One = 1,\n} KIND;\n\n\
/** Asks. */\ntypedef void (CALLBACK *ASK)(void *context);\nBOOL Asked(void);\n";
        let text = |text: &str| Paragraph::Text(text.to_owned());
        assert_eq!(
            read(header),
            [
                Item::Prose(vec![text("Head.h: what it is.")]),
                Item::Section("Operations".to_owned()),
                Item::Functions {
                    names: vec!["Do".to_owned()],
                    prototypes: vec!["HRESULT Do(PCWSTR id,\n           int *two);".to_owned()],
                    paragraphs: vec![
                        text("Does it."),
                        text("- `id`: which."),
                        Paragraph::Code("E_FAIL   it fails".to_owned())
                    ],
                },
                Item::Functions {
                    names: vec!["ASK".to_owned(), "Asked".to_owned()],
                    prototypes: vec![
                        "typedef void (CALLBACK *ASK)(void *context);".to_owned(),
                        "BOOL Asked(void);".to_owned()
                    ],
                    paragraphs: vec![text("Asks.")],
                },
            ]
        );
    }
}
