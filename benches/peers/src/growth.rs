//! How the cost of a request to `ours` grows with the tree, and with the clients.

use tempfile::TempDir;

use crate::{
    CONNECTIONS, Protocol, Result,
    args::Effort,
    entrants::Entrant,
    fixture, rounds,
    servers::{self, Site},
    table,
};

const FILES: [usize; 3] = [10, 1_000, 100_000];
const CLIENTS: [usize; 3] = [1, 16, 256];

pub(crate) async fn run(effort: Effort) -> Result<()> {
    let trees = FILES.map(|files| (tree(files), files));
    let mut entrants = Vec::new();
    for (tree, files) in &trees {
        let tree = tree.as_ref().map_err(ToString::to_string)?;
        let entrant = entrant("ours", tree, CONNECTIONS).await?;
        entrants.push(entrant.renamed(format!("files: {files}")));
    }
    report("With the number of listed files", &entrants, effort).await?;
    drop(entrants);

    // More connections cost more whoever answers: the floor has to be beside it.
    let tree = tree(fixture::FILES)?;
    for clients in CLIENTS {
        let mut entrants = Vec::new();
        for server in ["hyper", "ours", "ours-memory"] {
            entrants.push(entrant(server, &tree, clients).await?);
        }
        report(&format!("Connections: {clients}"), &entrants, effort).await?;
    }
    Ok(())
}

fn tree(files: usize) -> Result<TempDir> {
    let root = tempfile::tempdir()?;
    fixture::write(root.path(), files)?;
    Ok(root)
}

async fn entrant(server: &str, tree: &TempDir, connections: usize) -> Result<Entrant> {
    let site = Site { root: tree.path().to_owned(), workers: 1, protocol: Protocol::Http1 };
    let prefix = servers::prefix(&site.root)?;
    Entrant::start(servers::named(server)?, &site, &prefix, connections).await
}

async fn report(title: &str, entrants: &[Entrant], effort: Effort) -> Result<()> {
    eprintln!("{title}");
    println!("{}", table::render(title, &rounds::run(entrants, effort).await?));
    Ok(())
}
