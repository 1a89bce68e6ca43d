//! The pages of documents: every type, its members, and what becomes of each.
//!
//! Where an engine has a table, it is asked. Where the service reads a document member by member, `requests` says what
//! it does. No member of what is read may be without a word. What the service only writes has no such column.

mod pages;
mod policies;
mod requests;
mod values;

use hcs_schema::{Kind, Member, Shape};

use crate::{
    Outcome,
    page::{Page, plain},
};
use policies::Policies;

/// The pages, with one of the values of enumerations.
pub fn pages() -> Outcome<Vec<Page>> {
    let policies = Policies::new();
    let placed = pages::place(&policies);
    requests::check(&placed, &policies)?;
    let mut written = Vec::new();
    for (topic, shapes) in &placed {
        written.push(page(topic, shapes, &policies));
    }
    written.push(values::page());
    Ok(written)
}

fn page(topic: &pages::Topic, shapes: &[&'static Shape], policies: &Policies) -> Page {
    let mut page = Page::new(topic.page, topic.title, topic.about);
    for shape in shapes {
        page.heading(2, shape.name);
        page.paragraph(&plain(shape.doc));
        if shape.members.is_empty() {
            page.paragraph("It has no members; that it is there says all.");
        } else if topic.is_only_written {
            page.table(
                ["Member", "Type", "Since", "Meaning"],
                shape.members.iter().map(|member| {
                    [name(member), type_name((member.kind)()), member.since.to_owned(), plain(member.doc)]
                }),
            );
        } else {
            page.table(
                ["Member", "Type", "Since", "Meaning", "Here"],
                shape.members.iter().map(|member| {
                    let said = [policies.of(shape, member), requests::of(shape.name, member.name)];
                    let here = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
                    [
                        name(member),
                        type_name((member.kind)()),
                        member.since.to_owned(),
                        plain(member.doc),
                        here,
                    ]
                }),
            );
        }
    }
    page
}

fn name(member: &Member) -> String {
    let required = if member.required { " (required)" } else { "" };
    format!("`{}`{required}", member.name)
}

/// How a type is told of.
fn type_name(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer(integer) => integer.name.to_owned(),
        Kind::Text(hcs_schema::Format::Plain) => "text".to_owned(),
        Kind::Text(format) => format!("text ({format:?})"),
        Kind::Any => "any JSON".to_owned(),
        Kind::Choice(choices) => choices.name.to_owned(),
        Kind::Document(shape) => shape.name.to_owned(),
        Kind::Array(element, None) => format!("list of {}", type_name(element())),
        Kind::Array(element, Some(length)) => format!("{length} times {}", type_name(element())),
        Kind::Map(_, value) => format!("map to {}", type_name(value())),
        Kind::Either(one, other) => format!("{}, or {}", type_name(one()), type_name(other())),
    }
}

/// The types that a member holds, by themselves or many times.
fn within(kind: Kind) -> Vec<&'static Shape> {
    match kind {
        Kind::Document(shape) => vec![shape],
        Kind::Array(element, _) => within(element()),
        Kind::Map(_, value) => within(value()),
        Kind::Either(one, other) => [within(one()), within(other())].concat(),
        _ => Vec::new(),
    }
}

/// The type of this name.
fn shape(name: &str) -> &'static Shape {
    let found = hcs_schema::shapes().iter().find(|shape| shape.name == name);
    found.unwrap_or_else(|| panic!("the schema has no type {name}, which a table of this tool names"))
}
