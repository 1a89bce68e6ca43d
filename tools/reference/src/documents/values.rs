//! The page of enumerations.

use crate::page::{Page, plain};

/// The page.
pub fn page() -> Page {
    let mut page = Page::new(
        "documents-values.md",
        "Documents: values of enumerations",
        "The first value is the one that an absent member stands for. Whether the service can do what a value asks for, the \
         member says that holds it; a value that it cannot do is refused by name.",
    );
    for choices in hcs_schema::choices() {
        page.heading(2, choices.name);
        page.paragraph(&plain(choices.doc));
        let values = choices.values.iter().map(|value| {
            let also = value.aliases.iter().map(|alias| format!(", also `{alias:?}`"));
            let name = format!("`{}`{}", value.name, also.collect::<String>());
            [name, value.since.to_owned(), plain(value.doc)]
        });
        page.table(["Value", "Since", "Meaning"], values);
    }
    page
}
