//! `ProcessParameters.CommandLine` split into arguments.
//!
//! The rules are those of a POSIX shell without expansions: blanks separate, single quotes keep everything,
//! double quotes keep all but `\"` and `\\`, a backslash outside quotes keeps the next character. Clients that
//! want no rules at all send `CommandArgs`.

use hcs_core::{Cause, Error};

/// Splits a command line.
pub fn split(line: &str) -> Result<Vec<String>, Error> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => arguments.extend(current.take()),
            '\'' => {
                let argument = current.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(other) => argument.push(other),
                        None => return Err(unterminated('\'')),
                    }
                }
            }
            '"' => {
                let argument = current.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') if matches!(characters.peek(), Some('"' | '\\')) => {
                            argument.extend(characters.next());
                        }
                        Some(other) => argument.push(other),
                        None => return Err(unterminated('"')),
                    }
                }
            }
            '\\' => {
                let Some(next) = characters.next() else {
                    return Err(Error::new(Cause::InvalidData, "the command line ends with a backslash"));
                };
                current.get_or_insert_default().push(next);
            }
            other => current.get_or_insert_default().push(other),
        }
    }
    arguments.extend(current);
    Ok(arguments)
}

fn unterminated(quote: char) -> Error {
    Error::new(Cause::InvalidData, format!("the command line has a {quote} without its end"))
        .hint("Send CommandArgs to pass arguments without quoting rules.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_split_as_in_a_shell_without_expansions() {
        for (line, expected) in [
            ("", &[][..]),
            ("  ls   -l ", &["ls", "-l"]),
            ("sh -c 'echo $HOME; exit 3'", &["sh", "-c", "echo $HOME; exit 3"]),
            (r#"echo "a \"b\" \n" c\ d"#, &["echo", r#"a "b" \n"#, "c d"]),
            ("echo '' \"\"", &["echo", "", ""]),
            ("a'b'\"c\"", &["abc"]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn an_unfinished_command_line_is_refused() {
        for line in ["echo 'a", "echo \"a", "echo \\"] {
            assert_eq!(split(line).unwrap_err().cause, Cause::InvalidData, "{line}");
        }
    }
}
