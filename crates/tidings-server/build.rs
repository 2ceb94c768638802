//! Has the server built anew when the dashboard's own build has changed: its files are embedded, and their
//! names change with what is in them.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The folder that it appears in, until it is there. A path that is not there would mean: always.
    let folders = ["../../dashboard/dist", "../../dashboard"];
    if let Some(folder) = folders.into_iter().find(|folder| Path::new(folder).is_dir()) {
        println!("cargo::rerun-if-changed={folder}");
    }
}
