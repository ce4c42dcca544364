//! The examples run as they stand.

#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/embed_tokio.rs"]
mod embed_tokio;

#[test]
fn embed_runs() -> Result<(), Box<dyn std::error::Error>> {
    embed::main()
}

#[test]
fn embed_tokio_runs() -> Result<(), Box<dyn std::error::Error>> {
    embed_tokio::main()
}
