//! The pages of functions: what the headers say, and what is different from Windows.

mod differences;
mod header;

use std::path::Path;

use crate::{Outcome, page::Page};
use header::{Item, Paragraph};

/// A page per header.
struct Source {
    header: &'static str,
    page: &'static str,
    title: &'static str,
}

const SOURCES: &[Source] = &[
    Source { header: "ComputeCore.h", page: "computecore.md", title: "ComputeCore.h: systems and processes" },
    Source {
        header: "ComputeStorage.h",
        page: "computestorage.md",
        title: "ComputeStorage.h: layers and disks",
    },
    Source {
        header: "HyperVDeviceVirtualization.h",
        page: "hypervdevicevirtualization.md",
        title: "HyperVDeviceVirtualization.h: devices",
    },
    Source {
        header: "HcsPlatform.h",
        page: "hcsplatform.md",
        title: "HcsPlatform.h: what of Win32 is there",
    },
];

/// The pages.
pub fn pages(folder: &Path) -> Outcome<Vec<Page>> {
    let mut documented = Vec::new();
    let mut pages = Vec::new();
    for source in SOURCES {
        let path = folder.join(source.header);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        pages.push(page(source, &header::read(&text), &mut documented)?);
    }
    match differences::LINES.iter().find(|(name, _)| !documented.iter().any(|found| found == name)) {
        Some((name, _)) => Err(format!("the differences have a line for {name}, which no header has")),
        None => Ok(pages),
    }
}

fn page(source: &Source, items: &[Item], documented: &mut Vec<String>) -> Outcome<Page> {
    let about = format!(
        "From `apps/capi/include/{}`, which has the same text. \
         Under each function stands what is different from Windows.",
        source.header
    );
    let mut page = Page::new(source.page, source.title, &about);
    for item in items {
        match item {
            Item::Section(title) => page.heading(2, title),
            Item::Prose(paragraphs) => write(&mut page, paragraphs),
            Item::Functions { names, prototypes, paragraphs } => {
                let heads: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                page.heading(3, &heads.join(", "));
                page.code("c", &prototypes.join("\n"));
                write(&mut page, paragraphs);
                for name in names {
                    let line = differences::LINES.iter().find(|(found, _)| found == name);
                    let (_, difference) = line.ok_or_else(|| {
                        format!("{}: {name} has no line in functions/differences.rs", source.header)
                    })?;
                    let which = if names.len() > 1 { format!(" ({name})") } else { String::new() };
                    page.paragraph(&format!("**Compared with Windows**{which}: {difference}"));
                    documented.push(name.clone());
                }
            }
        }
    }
    Ok(page)
}

fn write(page: &mut Page, paragraphs: &[Paragraph]) {
    for paragraph in paragraphs {
        match paragraph {
            Paragraph::Text(text) => page.paragraph(text),
            Paragraph::Code(text) => page.code("text", text),
        }
    }
}
