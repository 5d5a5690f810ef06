//! `completions` and `man`: what shells and readers of manuals want to know, made from the commands themselves.
//!
//! Never: says anything that `--help` does not.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::failure::Failure;
use super::out::Out;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang completions bash > /etc/bash_completion.d/unhang
  unhang completions zsh > \"${fpath[1]}/_unhang\"
  unhang completions fish > ~/.config/fish/completions/unhang.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write those of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang man | man -l -
  unhang man /usr/local/share/man/man1
  unhang man --markdown > docs/CLI.md")]
pub(super) struct ManArgs {
    /// Folder for a page of each command; it is made where there is none
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// One page of Markdown with the help of every command
    #[arg(long, conflicts_with = "folder")]
    markdown: bool,
}

/// `completions`
pub(super) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "unhang", &mut text);
    Ok(out.bytes(&text)?)
}

/// `man`
pub(super) fn man(args: &ManArgs, command: Command, out: &mut Out) -> Result<(), Failure> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    if args.markdown {
        return Ok(out.bytes(markdown(command).as_bytes())?);
    }
    let Some(folder) = &args.folder else {
        return Ok(out.bytes(&page(&command)?)?);
    };
    let trouble = |error: std::io::Error| {
        Failure::unreachable(format!("cannot write manual pages to {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(trouble)?;
    let count = write_all(&command, folder).map_err(trouble)?;
    Ok(out.line(format_args!("{}: {count} manual pages", folder.display()))?)
}

fn write_all(command: &Command, folder: &Path) -> std::io::Result<usize> {
    let file = Man::new(command.clone()).get_filename();
    std::fs::write(folder.join(file), page(command)?)?;
    command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .try_fold(1, |count, one| Ok(count + write_all(one, folder)?))
}

/// One page. What follows the options has lines of its own, which a manual would otherwise run together.
fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let man =
        Man::new(command.clone()).manual("unhang").source(concat!("unhang ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_arguments().any(|one| !one.is_hide_set()) {
        man.render_options_section(&mut text)?;
    }
    if command.get_subcommands().any(|one| !one.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(after) = command.get_after_help() {
        text.extend_from_slice(examples(&after.to_string()).as_bytes());
    }
    Ok(ascii(&String::from_utf8_lossy(&text)).into_bytes())
}

/// Formatters read ASCII; every other character has an escape that all of them know.
fn ascii(text: &str) -> String {
    let escape = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    text.chars().map(escape).collect()
}

/// Examples and notes, line by line as they are in `--help`.
fn examples(after: &str) -> String {
    let body = after.strip_prefix("Examples:\n").unwrap_or(after);
    let mut text = ".SH EXAMPLES\n.nf\n".to_owned();
    for line in body.lines() {
        // A point or an apostrophe at the beginning would be an order to the formatter, and a hyphen no minus.
        text.push_str("\\&");
        text.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
        text.push('\n');
    }
    text.push_str(".fi\n");
    text
}

/// The help of every command, one behind the other.
fn markdown(command: Command) -> String {
    let mut text = "# Command line\n\nMade by `unhang man --markdown`; a test compares it.\n".to_owned();
    add(&mut text, "", command);
    text
}

fn add(text: &mut String, before: &str, mut command: Command) {
    let name = format!("{before}{}", command.get_name());
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    for part in ["\n## ", &name, "\n\n```text\n", help.join("\n").trim_end(), "\n```\n"] {
        text.push_str(part);
    }
    let deeper: Vec<Command> = command.get_subcommands().filter(|one| !one.is_hide_set()).cloned().collect();
    for one in deeper {
        add(text, &format!("{name} "), one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_ascii() {
        assert_eq!(ascii("a…é"), "a\\[u2026]\\[u00E9]");
    }

    #[test]
    fn no_line_of_an_example_is_an_order_to_the_formatter() {
        let text = examples("Examples:\n  unhang x --y\n.so /etc/passwd\n'br\n\\fB");
        assert_eq!(
            text,
            ".SH EXAMPLES\n.nf\n\\&  unhang x \\-\\-y\n\\&.so /etc/passwd\n\\&'br\n\\&\\efB\n.fi\n"
        );
    }
}
