//! `hold`: the operator's stop, through the service, or as a file when it is down.
//!
//! Never: falls back silently, or lets a narrow hold become a wide one.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::client::{Client, ServiceArgs, print_answer, text_of};
use super::failure::Failure;
use super::hold_file::{self, Set, Words};
use super::listing::{LookArgs, one_of};
use super::out::{Format, Out, clean};
use super::place::ConfigArgs;
use super::table::Table;
use super::when;
use crate::clock::Clock;
use crate::config::Environment;
use crate::config::Place;
use crate::store::Store;

/// Stop all acting in a scope; works on a file when the service or the store is down
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "holds",
    after_help = "\
Examples:
  unhang hold set --reason \"stop everything\"
  unhang hold set --file --reason \"stop everything, the service does not answer\"
  unhang hold list
  unhang hold clear 7 --reason \"over\""
)]
pub(super) enum HoldCommand {
    Set(SetArgs),
    Clear(ClearArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Where the hold file is.
#[derive(Debug, Args)]
struct FileArgs {
    /// The hold file; else `store.hold_file` of the configuration, else HOLD beside its store
    #[arg(long, value_name = "PATH")]
    hold_file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl FileArgs {
    fn path(&self) -> Result<PathBuf, Failure> {
        match &self.hold_file {
            Some(path) => Ok(path.clone()),
            None => match self.config.load_or_tell() {
                Ok(loaded) => Ok(loaded.config.store.hold_file),
                Err(failure) => {
                    Err(Failure::usage(format!("{}; or name the file with --hold-file", failure.text())))
                }
            },
        }
    }
}

/// Set a hold: nothing is sent in its scope until it is cleared
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang hold set --reason \"stop everything\"
  unhang hold set --scope policy --name hung-windows --for 2h --reason \"rule is being changed\"
  unhang hold set --scope server --name 90000001 --reason \"forensics\"
  unhang hold set --file --reason \"the service does not answer\"

A global hold falls back to the file when the service cannot be reached, does not answer within 3 s or cannot
store it, and says so.
Needs a token with role operator; the file needs write access to the data folder.")]
pub(super) struct SetArgs {
    /// What it stops
    #[arg(long, value_enum, default_value_t = Scope::Global)]
    scope: Scope,
    /// Name of the source, policy or region, or number of the server
    #[arg(long, required_if_eq_any([("scope", "source"), ("scope", "policy"), ("scope", "region"), ("scope", "server")]))]
    name: Option<String>,
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When it ends by itself; else when it is cleared
    #[arg(long, value_name = "TIME", value_parser = when::instant, conflicts_with = "duration")]
    until: Option<Timestamp>,
    /// How long it lasts, such as 2h
    #[arg(long = "for", id = "duration", value_name = "DURATION", value_parser = when::duration)]
    duration: Option<String>,
    /// Write the hold file instead of asking the service; global, until it is removed
    #[arg(long, conflicts_with_all = ["until", "duration", "name"])]
    file: bool,
    #[command(flatten)]
    place: FileArgs,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    Global,
    Source,
    Policy,
    Region,
    Server,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Source => "source",
            Self::Policy => "policy",
            Self::Region => "region",
            Self::Server => "server",
        }
    }
}

/// Clear a hold
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang hold clear 7 --reason \"forensics are done\"
  unhang hold clear --file

Needs a token with role operator; the file needs write access to the data folder.")]
pub(super) struct ClearArgs {
    /// Number of the hold, as `hold list` shows it
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    id: Option<u64>,
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT", required_unless_present = "file")]
    reason: Option<String>,
    /// Remove the hold file
    #[arg(long)]
    file: bool,
    #[command(flatten)]
    place: FileArgs,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Show the holds in force, the hold file included
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang hold list
  unhang hold list --output json

Asks the service; without a token, or when it is down, reads the store.")]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: FileArgs,
    /// Whole cells, however wide
    #[arg(long)]
    wide: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Show a hold
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang hold show 7")]
pub(super) struct ShowArgs {
    /// Its number
    id: u64,
    #[command(flatten)]
    look: LookArgs,
}

/// Runs one of the commands.
pub(super) async fn run(command: HoldCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        HoldCommand::Set(args) => set(args, out).await,
        HoldCommand::Clear(args) => clear(args, out).await,
        HoldCommand::List(args) => list(args, out).await,
        HoldCommand::Show(args) => one_of("holds", "id", &args.id.to_string(), &args.look, out).await,
    }
}

async fn set(args: SetArgs, out: &mut Out) -> Result<(), Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("--reason must say something"));
    }
    if args.scope == Scope::Global && args.name.is_some() {
        return Err(Failure::usage("--name belongs to another scope than global"));
    }
    if args.file {
        if args.scope != Scope::Global {
            return Err(Failure::usage("the hold file stops everything; --scope needs the service"));
        }
        return set_file(&args, out);
    }
    match set_by_service(&args).await {
        Ok(answer) => print_answer(&answer, args.output, out),
        Err(failure) if failure.is_unreachable() && args.scope == Scope::Global => {
            Out::stderr().line(format_args!("{}; writing the hold file instead", failure.text()))?;
            if args.until.is_some() || args.duration.is_some() {
                Out::stderr()
                    .line("the hold file has no end of its own: remove it with `unhang hold clear --file`")?;
            }
            set_file(&args, out)
        }
        Err(failure) => Err(failure),
    }
}

async fn set_by_service(args: &SetArgs) -> Result<Value, Failure> {
    let mut body = Map::from_iter([
        ("scope".to_owned(), json!(args.scope.as_str())),
        ("name".to_owned(), json!(args.name.as_deref().unwrap_or_default())),
        ("reason".to_owned(), json!(args.reason)),
    ]);
    if let Some(until) = args.until {
        body.insert("until".to_owned(), json!(until));
    }
    if let Some(duration) = &args.duration {
        body.insert("duration".to_owned(), json!(duration));
    }
    // Without a token the service may well be up, so the file is not taken unasked.
    let client = Client::hasty(&args.service).map_err(|failure| {
        Failure::usage(format!("{}; or write the hold file with --file", failure.text()))
    })?;
    client.post(&["holds"], &Value::Object(body), None).await
}

fn set_file(args: &SetArgs, out: &mut Out) -> Result<(), Failure> {
    let path = args.place.path()?;
    let env = Environment::of_process();
    let author = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env.get(name)).unwrap_or("unknown");
    let words = Words { author, reason: &args.reason, at: Clock::default().wall() };
    let done = hold_file::set(&path, &words)?;
    if args.output == Format::Json {
        let (new, words) = (done != Set::Already, !matches!(done, Set::Wordless(_)));
        out.json(&json!({ "holdFile": path.display().to_string(), "new": new, "words": words }))?;
        return Ok(());
    }
    match done {
        Set::New => out.line(format_args!("held: {} is there; nothing is sent", path.display()))?,
        Set::Wordless(why) => {
            out.line(format_args!(
                "held: {} is there; nothing is sent. Its words could not be written ({why}); an empty file holds as well",
                path.display()
            ))?;
        }
        Set::Already => {
            out.line(format_args!("held already: {} was there and was left as it is", path.display()))?;
        }
    }
    Ok(())
}

async fn clear(args: ClearArgs, out: &mut Out) -> Result<(), Failure> {
    let Some(id) = args.id else {
        let path = args.place.path()?;
        if !hold_file::clear(&path)? {
            return Err(Failure::not_so(format!("there is no hold file {}", path.display())));
        }
        match args.output {
            Format::Text => {
                out.line(format_args!("{} is gone; holds in the store still stop", path.display()))?;
            }
            Format::Json => out.json(&json!({ "holdFile": path.display().to_string(), "cleared": true }))?,
        }
        return Ok(());
    };
    let answer = Client::new(&args.service)?
        .delete(&["holds", &id.to_string()], args.reason.as_deref().unwrap_or_default())
        .await?;
    if answer.is_null() && args.output == Format::Text {
        out.line(format_args!("hold {id} is cleared"))?;
        return Ok(());
    }
    print_answer(&answer, args.output, out)
}

async fn list(args: ListArgs, out: &mut Out) -> Result<(), Failure> {
    let config = args.place.config.load().ok().map(|loaded| loaded.config);
    let store_path = config.as_ref().map(|config| config.store.path.clone());
    let place = config.as_ref().map(|config| config.store.place.clone());
    let file = args.place.hold_file.clone().or_else(|| config.map(|config| config.store.hold_file));
    let file = file.or_else(|| store_path.as_deref().map(hold_file::beside));
    let (answer, trouble) = match ask(&args, place).await {
        Ok(answer) => (answer, None),
        Err(failure) => (Value::Null, Some(failure)),
    };
    let rows = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    // The service may keep its file where this command cannot look.
    let told = Some(text_of(&answer, "holdFile")).filter(|told| !told.is_empty());
    let said = file.as_deref().and_then(hold_file::read).or(told);
    if args.output == Format::Json {
        let file = json!({ "path": file.as_ref().map(|path| path.display().to_string()), "content": said });
        out.json(&json!({ "items": rows, "holdFile": file, "complete": trouble.is_none() }))?;
    } else {
        print(&rows, file.as_deref(), said.as_deref(), (trouble.is_none(), args.wide), out)?;
    }
    trouble.map_or(Ok(()), Err)
}

/// The holds of the store: from the service, or, without one, from the store itself.
async fn ask(args: &ListArgs, store: Option<Place>) -> Result<Value, Failure> {
    let asked = match Client::new(&args.service) {
        Ok(client) => client.get(&["holds"], &[]).await,
        Err(failure) => Err(failure),
    };
    let (failure, place) = match (asked, store) {
        (Ok(answer), _) => return Ok(answer),
        (Err(failure), Some(place)) if place.may_be_there() => (failure, place),
        (Err(failure), _) => return Err(failure),
    };
    Out::stderr().line(format_args!("{}; reading the store", failure.text()))?;
    let holds = Store::open_read_only_at(&place).await?.holds(Clock::default().now()).await?;
    Ok(json!({ "items": holds }))
}

fn print(
    rows: &[Value],
    file: Option<&std::path::Path>,
    said: Option<&str>,
    (complete, wide): (bool, bool),
    out: &mut Out,
) -> Result<(), Failure> {
    match (file, said) {
        (Some(path), Some(said)) => {
            out.line(format_args!(
                "hold file {}: THERE, everything is held: {}",
                path.display(),
                clean(said)
            ))?;
        }
        (Some(path), None) => out.line(format_args!("hold file {}: none", path.display()))?,
        (None, Some(said)) => {
            out.line(format_args!("hold file: THERE, everything is held: {}", clean(said)))?;
        }
        (None, None) => out.line("hold file: none that is known here; --hold-file or --config names one")?,
    }
    let mut table = Table::new(&["id", "scope", "name", "author", "since", "until", "reason"]).keep("id");
    for row in rows {
        let at =
            |field| text_of(row, field).parse::<Timestamp>().map_or_else(|_none| "-".to_owned(), when::short);
        table.row([
            text_of(row, "id"),
            text_of(row, "scope"),
            text_of(row, "name"),
            text_of(row, "author"),
            at("setAt"),
            at("until"),
            text_of(row, "reason"),
        ]);
    }
    if !table.is_empty() {
        table.print(out, wide)?;
    } else if complete {
        out.line("no holds in the store")?;
    }
    Ok(())
}
