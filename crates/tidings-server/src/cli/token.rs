//! `tidings token`: make a token and look into one, with the secret a node has, or with the private
//! and the public keys of an issuer.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use tidings_hub::Pattern;

use super::UsageError;
use super::source::{ConfigArgs, random};
use crate::config::{Config, Flags, Secret};
use crate::identity::{
    Claims, TOKEN_BYTES_MAX, TokenError, TokenKey, TokenRequest, TokenVerifier, User,
    unverified_claims,
};

/// Bytes in the file of a private key.
const KEY_FILE_BYTES_MAX: u64 = 65_536;

/// Make tokens and look into them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print a new token for a user
    New(Box<NewArgs>),
    /// Print what a token says and whether a node would take it; exit 1 if not
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct KeyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The secret tokens are signed with; better in `TIDINGS_TOKEN_SECRET`, where other users of
    /// this machine do not see it
    #[arg(long, value_name = "TEXT")]
    secret: Option<Secret>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The user the token is for
    #[arg(long, value_name = "ID", value_parser = User::new)]
    user: User,
    /// A topic or pattern to allow beside the default topics; may be given several times
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<Pattern>,
    /// A topic or pattern that may be published to; may be given several times
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<Pattern>,
    /// The user's role
    #[arg(long)]
    role: Option<String>,
    /// The session the token belongs to
    #[arg(long, value_name = "ID")]
    sid: Option<String>,
    /// What else is to be known of the user: a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    meta: Option<Meta>,
    /// Seconds for which the token may be used to connect
    #[arg(long, value_name = "SECS", default_value_t = 300)]
    ttl_secs: u64,
    /// Seconds after which the streams it opened end
    #[arg(long, value_name = "SECS")]
    until_secs: Option<u64>,
    /// The file with a private key to sign with in place of the secret: RSA, P-256 or Ed25519, in
    /// PEM form (PKCS #8). The kind of key decides the algorithm
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    private_key: Option<PathBuf>,
    /// What the key set calls that key
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The token; `-` or nothing reads it from standard input
    #[arg(value_name = "TOKEN", default_value = "-", hide_default_value = true)]
    token: String,
    /// A file with the issuer's public keys, a JSON Web Key Set, in place of the node's
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Clone, Debug)]
struct Meta(Map<String, Value>);

fn object(text: &str) -> Result<Meta, String> {
    serde_json::from_str(text).map(Meta).map_err(|error| format!("not a JSON object: {error}"))
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(args) => new(args),
        Command::Check(args) => check(args),
    }
}

fn new(args: Box<NewArgs>) -> anyhow::Result<()> {
    let args = *args;
    let request = TokenRequest {
        user: args.user,
        subscribe: args.subscribe,
        publish: args.publish,
        role: args.role,
        sid: args.sid,
        meta: args.meta.map(|meta| meta.0),
        ttl_secs: args.ttl_secs,
        until_secs: args.until_secs,
    };
    let random = u128::from_be_bytes(random()?);
    let config = config(args.key)?;
    let key = match args.private_key {
        Some(file) => private_key(&file, args.kid, &config)?,
        None if args.kid.is_some() => {
            return Err(UsageError("--kid names the key of --private-key".into()).into());
        }
        None => TokenKey::new(&config.tokens).ok_or_else(no_key)?,
    };
    let token = match key.mint(&request, now_unix_ms()?, random) {
        Ok(token) => token,
        Err(TokenError::Expired) => {
            return Err(UsageError("--ttl-secs and --until-secs must be above 0".into()).into());
        }
        Err(error) => return Err(error).context("no node would take this token"),
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{token}")?;
    Ok(stdout.flush()?)
}

fn check(args: CheckArgs) -> anyhow::Result<()> {
    let mut tokens = config(args.key)?.tokens;
    if let Some(file) = args.jwks {
        let file = file.to_str().context("the name of the key set's file is not UTF-8")?;
        tokens.jwks_file = Some(file.to_owned());
        tokens.jwks_url = None;
    }
    let verifier = TokenVerifier::load(&tokens, None)?;
    if !verifier.has_keys() {
        return Err(no_key());
    }
    let token = if args.token == "-" { read_token()? } else { args.token };
    let token = token.trim();
    let now_ms = now_unix_ms()?;
    // A key set at a URL is fetched, as a node would.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = runtime.block_on(verifier.verify(token, now_ms));
    let claims = unverified_claims(token);
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        write_for_people(&mut stdout, claims.as_ref(), &verdict, now_ms)?;
    } else {
        let refused = verdict.as_ref().err().map(ToString::to_string);
        let answer = json!({ "accepted": refused.is_none(), "reason": refused, "claims": claims });
        writeln!(stdout, "{answer}")?;
    }
    stdout.flush()?;
    match verdict {
        Ok(_) => Ok(()),
        Err(error) => bail!("refused: {error}"),
    }
}

fn write_for_people(
    out: &mut impl Write,
    claims: Option<&Map<String, Value>>,
    verdict: &Result<Claims, TokenError>,
    now_ms: u64,
) -> io::Result<()> {
    for (claim, value) in claims.into_iter().flatten() {
        write!(out, "{:>10}  {}", printable(claim), printable(&value.to_string()))?;
        match (claim.as_str(), value.as_f64()) {
            ("exp" | "iat" | "nbf" | "until", Some(secs)) => {
                writeln!(out, "  ({})", relative(secs, now_ms))?;
            }
            _ => writeln!(out)?,
        }
    }
    match verdict {
        Ok(claims) => writeln!(out, "accepted for user {}", printable(claims.user.id())),
        Err(_) => Ok(()),
    }
}

/// Escapes what would steer a terminal: claims are anyone's words.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            printable.extend(char.escape_unicode());
        } else {
            printable.push(char);
        }
    }
    printable
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "shown to people, in whole seconds"
)]
fn relative(secs: f64, now_ms: u64) -> String {
    match (secs - now_ms as f64 / 1000.0).round() as i64 {
        secs @ 0.. => format!("in {secs} s"),
        secs => format!("{} s ago", secs.unsigned_abs()),
    }
}

fn config(args: KeyArgs) -> anyhow::Result<Config> {
    let flags = Flags { listen: Vec::new(), token_secret: args.secret };
    Ok(args.config.source(flags, false)?.settings()?)
}

fn no_key() -> anyhow::Error {
    let advice = "give the node's secret in TIDINGS_TOKEN_SECRET, its file with --config, or keys \
                  with --private-key and --jwks";
    UsageError(format!("there is no key to sign or check tokens with: {advice}")).into()
}

fn private_key(file: &Path, kid: Option<String>, config: &Config) -> anyhow::Result<TokenKey> {
    let mut pem = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(KEY_FILE_BYTES_MAX).read_to_end(&mut pem))
        .with_context(|| format!("cannot read {}", file.display()))?;
    TokenKey::from_private_pem(&pem, kid, &config.tokens)
        .with_context(|| format!("{} will not do", file.display()))
}

fn read_token() -> anyhow::Result<String> {
    let mut token = String::new();
    io::stdin()
        .lock()
        .take(TOKEN_BYTES_MAX as u64 + 2)
        .read_to_string(&mut token)
        .context("cannot read the token from standard input")?;
    Ok(token)
}

fn now_unix_ms() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.context("this machine's clock is before 1970")?.as_millis();
    Ok(u64::try_from(millis)?)
}
