//! A net in numbers, for people and for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Align, Table,
    csv::quoted,
    number::{bytes, grouped},
};
use crate::net::summary::{Row, Sight, Summary};

/// Bytes of a value.
const VALUE: u64 = 4;

/// As a table with totals below.
pub fn summary_table(s: &Summary) -> String {
    let columns = [
        ("layer", Align::Left),
        ("type", Align::Left),
        ("output", Align::Left),
        ("parameters", Align::Right),
        ("multiply-adds", Align::Right),
        ("activations", Align::Right),
        ("receptive field", Align::Right),
        ("stride", Align::Right),
    ];
    let mut table = Table::new(&columns);
    let none = |n: u64, text: String| if n == 0 { String::new() } else { text };
    for row in &s.rows {
        let shapes: Vec<String> = row.tops.iter().map(|(_, shape)| shape.to_string()).collect();
        let parameters = row.parameters[0] + row.parameters[1];
        table.row([
            row.name.clone(),
            row.kind.to_owned(),
            shapes.join(", "),
            none(parameters, grouped(parameters)),
            none(row.multiply_adds, grouped(row.multiply_adds)),
            none(row.activations, bytes(row.activations * VALUE)),
            row.sight.map_or(String::new(), field),
            row.sight.map_or(String::new(), stride),
        ]);
    }
    let mut text = table.plain();
    text.push('\n');
    totals(&mut text, s);
    text
}

fn totals(text: &mut String, s: &Summary) {
    let [learned, statistics] = s.parameters();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<20} {value}");
    };
    line("parameters", format!("{} ({})", grouped(learned), bytes(learned * VALUE)));
    if statistics > 0 {
        line("running statistics", format!("{} ({})", grouped(statistics), bytes(statistics * VALUE)));
    }
    let each = s.multiply_adds() / s.batch.max(1);
    let samples = if s.batch == 1 { "1 sample".into() } else { format!("{} samples", s.batch) };
    line("multiply-adds", format!("{} for {samples}, {} for one", grouped(s.multiply_adds()), grouped(each)));
    line("activations", format!("{} if none were shared", bytes(s.activations() * VALUE)));
    let weights = (learned + statistics) * VALUE;
    if s.training {
        let planned = s.planned * VALUE;
        let all = planned + weights + 2 * learned * VALUE;
        line(
            "memory to train",
            format!(
                "{}: {} blobs and their gradients as planned, {} weights, {} gradients, {} momentum",
                bytes(all),
                bytes(planned),
                bytes(weights),
                bytes(learned * VALUE),
                bytes(learned * VALUE)
            ),
        );
    } else {
        let planned = s.planned * VALUE;
        line(
            "memory to run",
            format!(
                "{}: {} blobs as planned, {} weights",
                bytes(planned + weights),
                bytes(planned),
                bytes(weights)
            ),
        );
    }
}

/// As a JSON object.
pub fn summary_json(s: &Summary) -> String {
    let [learned, statistics] = s.parameters();
    let layers: Vec<Value> = s.rows.iter().map(row_json).collect();
    let whole = json!({
        "name": s.name,
        "phase": s.phase.as_str_name(),
        "batch": s.batch,
        "layers": layers,
        "totals": {
            "parameters": learned,
            "running_statistics": statistics,
            "multiply_adds": s.multiply_adds(),
            "activation_bytes": s.activations() * VALUE,
            "planned_bytes": s.planned * VALUE,
            "training": s.training,
        },
    });
    format!("{whole:#}\n")
}

fn row_json(row: &Row) -> Value {
    let tops: Vec<Value> =
        row.tops.iter().map(|(name, shape)| json!({ "name": name, "shape": shape.to_vec() })).collect();
    json!({
        "name": row.name,
        "type": row.kind,
        "tops": tops,
        "parameters": row.parameters[0],
        "running_statistics": row.parameters[1],
        "multiply_adds": row.multiply_adds,
        "activation_bytes": row.activations * VALUE,
        "receptive_field": row.sight.and_then(|s| s.field),
        "stride": row.sight.and_then(|s| s.field.map(|_| s.stride)),
    })
}

/// As comma-separated values with a line of titles.
pub fn summary_csv(s: &Summary) -> String {
    let mut text = "layer,type,output,parameters,running_statistics,multiply_adds,activation_bytes,\
                    receptive_field,stride\n"
        .to_owned();
    for row in &s.rows {
        let shapes: Vec<String> = row.tops.iter().map(|(_, shape)| shape.to_string()).collect();
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{}",
            quoted(&row.name, ','),
            row.kind,
            quoted(&shapes.join(", "), ','),
            row.parameters[0],
            row.parameters[1],
            row.multiply_adds,
            row.activations * VALUE,
            row.sight.map_or(String::new(), field),
            row.sight.map_or(String::new(), stride),
        );
    }
    text
}

/// A value that sees everything has no neighbours.
fn stride(sight: Sight) -> String {
    sight.field.map_or(String::new(), |_| pair(sight.stride))
}

fn field(sight: Sight) -> String {
    sight.field.map_or("all".to_owned(), pair)
}

/// One number where both are alike.
fn pair([h, w]: [f64; 2]) -> String {
    let number = |v: f64| if v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:.3}") };
    if h == w { number(h) } else { format!("{} x {}", number(h), number(w)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_that_are_alike_are_one_number() {
        assert_eq!([pair([3.0, 3.0]), pair([3.0, 0.5])], ["3", "3 x 0.500"]);
    }
}
