//! How lines of the log look, and where they go.

use std::{fmt, sync::OnceLock};

use console::style;
use serde_json::{Map, Value};
use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::FmtSpan, format::Writer},
    registry::LookupSpan,
};

use super::screen;

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// As Caffe's, for the programs that read them: `I1231 23:59:59.000000 pid cnnctl] message`.
    Caffe,
    /// For people: the time and the message, in colours where the terminal has them.
    Pretty,
    /// A JSON object a line: timestamp, level, message.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Only warnings and errors.
    pub quiet: bool,
    /// How much more than usual.
    pub verbose: u8,
    /// What is logged, in the words of `RUST_LOG`, which it overrides.
    pub filter: Option<String>,
    /// How it looks; if `None`, pretty in a terminal, and Caffe's where a program may read it.
    pub format: Option<LogFormat>,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// How lines of the log look in this process.
pub(super) fn format() -> LogFormat {
    *FORMAT.get().unwrap_or(&LogFormat::Caffe)
}

/// Starts the log.
///
/// # Errors
/// When the filter is none.
pub fn start_log(options: &LogOptions) -> Result<(), String> {
    screen::allow_display(!options.quiet && options.verbose == 0 && options.filter.is_none());
    let default = if screen::is_terminal() { LogFormat::Pretty } else { LogFormat::Caffe };
    let format = *FORMAT.get_or_init(|| options.format.unwrap_or(default));
    let level = match (options.quiet, options.verbose) {
        (true, _) => "warn",
        (false, 0) => "info",
        (false, 1) => "debug",
        _ => "trace",
    };
    let filter = match &options.filter {
        Some(filter) => EnvFilter::try_new(filter).map_err(|e| format!("--log {filter}: {e}"))?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| screen::Stderr);
    // Spans tell how long they took, when they are over.
    let subscriber = subscriber.with_span_events(FmtSpan::CLOSE).with_ansi(false);
    // A second start, in one process, keeps the first log.
    let _ = subscriber.event_format(Lines(format)).try_init();
    Ok(())
}

/// The time of day that begins a line for people.
pub(super) fn clock() -> String {
    style(jiff::Zoned::now().strftime("%H:%M:%S").to_string()).for_stderr().dim().to_string()
}

/// Writes lines in a format.
struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        match self.0 {
            LogFormat::Json => return json(context, out, event),
            LogFormat::Caffe => {
                let letter = match level {
                    Level::ERROR => 'E',
                    Level::WARN => 'W',
                    _ => 'I',
                };
                let now = jiff::Zoned::now();
                let pid = std::process::id();
                write!(out, "{letter}{} {pid:>5} cnnctl] ", now.strftime("%m%d %H:%M:%S.%6f"))?;
            }
            LogFormat::Pretty => {
                write!(out, "{}  ", clock())?;
                match level {
                    Level::ERROR => write!(out, "{} ", style("error:").for_stderr().red().bold())?,
                    Level::WARN => write!(out, "{} ", style("warning:").for_stderr().yellow().bold())?,
                    _ => {}
                }
            }
        }
        // Where it happened is for those who debug.
        if level >= Level::DEBUG {
            for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
                write!(out, "{}", span.name())?;
                let extensions = span.extensions();
                if let Some(fields) = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>()
                    && !fields.is_empty()
                {
                    write!(out, "{{{fields}}}")?;
                }
                write!(out, ": ")?;
            }
        }
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

/// `{"level":"INFO","message":"...","timestamp":"..."}`, and `spans` where there are some.
fn json<S, N>(context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &tracing::Event<'_>) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    let Fields(mut object) = fields;
    object.insert("timestamp".into(), format!("{:.6}", jiff::Timestamp::now()).into());
    object.insert("level".into(), event.metadata().level().as_str().into());
    let spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root());
    let spans: Vec<Value> = spans.map(|span| span.name().into()).collect();
    if !spans.is_empty() {
        object.insert("spans".into(), spans.into());
    }
    writeln!(out, "{}", Value::Object(object))
}

/// The fields of an event.
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }
}
