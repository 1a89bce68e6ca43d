//! A page in Markdown.

/// How every page begins that is written here.
pub const MARK: &str = "<!-- `cargo xtask reference` writes this page. -->";

/// A page.
#[derive(Clone)]
pub struct Page {
    /// The name of its file.
    pub name: String,
    text: String,
}

impl Page {
    /// A page with a title and what it is about.
    pub fn new(name: &str, title: &str, about: &str) -> Page {
        Page { name: name.to_owned(), text: format!("{MARK}\n\n# {title}\n\n{about}\n") }
    }

    /// A heading of this depth; the title has 1.
    pub fn heading(&mut self, depth: usize, text: &str) {
        self.text += &format!("\n{} {text}\n", "#".repeat(depth));
    }

    /// A paragraph, or several.
    pub fn paragraph(&mut self, text: &str) {
        self.text += &format!("\n{text}\n");
    }

    /// A block of code.
    pub fn code(&mut self, language: &str, text: &str) {
        self.text += &format!("\n```{language}\n{}\n```\n", text.trim_end());
    }

    /// A table. Cells are Markdown; see [`cell`].
    pub fn table<const N: usize>(&mut self, head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        self.text += &format!("\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
        for row in rows {
            self.text += &format!("| {} |\n", row.map(|text| cell(&text)).join(" | "));
        }
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.text.clone()
    }
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Text that is no Markdown and is to be read as it is. What stands between backticks is code in both.
pub fn plain(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(index, piece)| match index % 2 {
        0 => piece.replace('&', "&amp;").replace('<', "&lt;").replace('*', "\\*").replace('[', "\\["),
        _ => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("`")
}
