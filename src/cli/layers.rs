//! `cnnctl layers`.

use clap::Args;

use super::{Done, output};
use crate::{
    layers::LAYERS,
    report::{Align, Table},
};

/// List the layer types, as a table of Markdown
#[derive(Args, Debug)]
pub struct LayersArgs {}

impl LayersArgs {
    pub(super) fn run(self) -> Done {
        output::print(&layer_table())?;
        Ok(0)
    }
}

/// All layer types with what they compute, their numbers of blobs and their settings; the README shows it.
pub fn layer_table() -> String {
    let columns = ["type", "computes", "bottoms", "tops", "settings"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for kind in LAYERS {
        let settings: Vec<String> = kind.settings.iter().map(|s| format!("`{s}`")).collect();
        table.row([
            format!("`{}`", kind.name),
            kind.summary.to_owned(),
            kind.bottoms.to_string(),
            kind.tops.to_string(),
            settings.join(", "),
        ]);
    }
    table.markdown()
}
