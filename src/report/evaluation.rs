//! What an evaluation says: text, JSON, CSV.

use serde_json::{Value, json};

use super::{Align, Table, csv::quoted};
use crate::measures::{Averages, ClassMeasures, Confusion, Evaluation, Samples};

/// More classes than this have no matrix in a text: their most frequent mistakes are listed.
const WIDEST_MATRIX: usize = 20;

/// Mistakes that are listed.
const MISTAKES: usize = 10;

/// Points of a curve in JSON.
const POINTS: usize = 201;

/// For people: the measures of the whole, a table of the classes, and the confusion matrix or the most frequent mistakes.
/// `names` has a name for each class.
pub fn evaluation_text(found: &Evaluation, names: &[String]) -> String {
    let mut text = format!("samples            {}\n", found.confusion.total());
    for (name, value) in overall(found) {
        text += &format!("{name:<18} {value:.4}\n");
    }
    text += "\n";
    text += &class_table(found, names);
    text += "\n";
    text += &match found.confusion.classes() {
        ..=WIDEST_MATRIX => matrix(&found.confusion, names),
        _ => mistakes(&found.confusion, names),
    };
    text
}

/// Measures that are one number each.
fn overall(found: &Evaluation) -> Vec<(String, f64)> {
    let mut all = vec![("accuracy".to_owned(), found.confusion.accuracy())];
    if let Some(p) = &found.probabilistic {
        all.extend(
            p.top.iter().filter(|(k, _)| *k > 1).map(|&(k, share)| (format!("top-{k} accuracy"), share)),
        );
        all.push(("log loss".into(), p.log_loss));
        all.push(("Brier score".into(), p.brier));
        all.push(("calibration error".into(), p.calibration_error));
        if let Some([even, weighted]) = p.area {
            all.push(("AUC, macro".into(), even));
            all.push(("AUC, weighted".into(), weighted));
        }
    }
    if let Some(order) = &found.order {
        all.push(("mean abs. error".into(), order.mean_absolute_error));
        all.push(("RMS error".into(), order.root_mean_square_error));
        all.push(("at most 1 off".into(), order.one_off));
        all.extend(order.quadratic_kappa.map(|kappa| ("quadratic kappa".into(), kappa)));
    }
    all
}

fn class_table(found: &Evaluation, names: &[String]) -> String {
    let columns = ["precision", "recall", "F1", "AUC", "samples"].map(|title| (title, Align::Right));
    let mut table = Table::new(&[&[("class", Align::Left)][..], &columns].concat());
    let number = |v: f64| format!("{v:.4}");
    for (ClassMeasures { counts, curve }, name) in found.classes.iter().zip(names) {
        let [p, r, f] = [counts.precision, counts.recall, counts.f1].map(number);
        let area = curve.as_ref().map(|curve| number(curve.area)).unwrap_or_default();
        table.row([name.clone(), p, r, f, area, counts.support.to_string()]);
    }
    let Averages { even, weighted } = found.averages;
    let areas = found.probabilistic.as_ref().and_then(|p| p.area);
    for (i, (name, values)) in [("macro mean", even), ("weighted mean", weighted)].into_iter().enumerate() {
        let [p, r, f] = values.map(number);
        let area = areas.map(|areas| number(areas[i])).unwrap_or_default();
        table.row([name.into(), p, r, f, area, found.confusion.total().to_string()]);
    }
    table.plain()
}

/// The matrix, a row for each true class.
fn matrix(confusion: &Confusion, names: &[String]) -> String {
    let short = |name: &str| name.chars().take(12).collect::<String>();
    let column = |seen: usize| {
        let counts = confusion.rows().map(|row| row[seen].to_string().len()).max().unwrap_or(1);
        counts.max(short(&names[seen]).chars().count())
    };
    let widths: Vec<usize> = (0..confusion.classes()).map(column).collect();
    let first = names.iter().map(|name| short(name).chars().count()).max().unwrap_or(0).max(5);
    let line = |head: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells = cells.zip(&widths).map(|(cell, width)| format!("  {cell:>width$}")).collect::<String>();
        format!("{head:<first$}{cells}\n")
    };
    let mut text = "Samples of each class (rows) that are taken for each (columns)\n".to_owned();
    text += &line("", &mut names.iter().map(|name| short(name)));
    for (row, name) in confusion.rows().zip(names) {
        let dot = |&count: &u64| if count == 0 { ".".to_owned() } else { count.to_string() };
        text += &line(&short(name), &mut row.iter().map(dot));
    }
    text
}

fn mistakes(confusion: &Confusion, names: &[String]) -> String {
    let mut table =
        Table::new(&[("class", Align::Left), ("taken for", Align::Left), ("times", Align::Right)]);
    for (label, seen, count) in confusion.mistakes(MISTAKES) {
        table.row([names[label].clone(), names[seen].clone(), count.to_string()]);
    }
    format!("The most frequent mistakes\n{}", table.plain())
}

/// As CSV: a row for each class, and two for the means.
pub fn evaluation_csv(found: &Evaluation, names: &[String]) -> String {
    let mut text = "class,name,precision,recall,f1,auc,support,predicted\n".to_owned();
    for (class, (ClassMeasures { counts: c, curve }, name)) in found.classes.iter().zip(names).enumerate() {
        let area = curve.as_ref().map(|curve| curve.area.to_string()).unwrap_or_default();
        text += &format!(
            "{class},{},{},{},{},{area},{},{}\n",
            quoted(name, ','),
            c.precision,
            c.recall,
            c.f1,
            c.support,
            c.predicted
        );
    }
    let Averages { even, weighted } = found.averages;
    let areas = found.probabilistic.as_ref().and_then(|p| p.area);
    let total = found.confusion.total();
    for (i, (name, [p, r, f])) in [("macro", even), ("weighted", weighted)].into_iter().enumerate() {
        let area = areas.map(|areas| areas[i].to_string()).unwrap_or_default();
        text += &format!(",{name},{p},{r},{f},{area},{total},{total}\n");
    }
    text
}

/// A row for each sample: its number, label, prediction, loss, and the probability of each class if there are any.
pub fn predictions_csv(samples: &Samples) -> String {
    let mut text = "sample,label,predicted,loss".to_owned();
    if !samples.probabilities.is_empty() {
        (0..samples.classes).for_each(|class| text += &format!(",p{class}"));
    }
    text += "\n";
    for i in 0..samples.len() {
        text += &format!("{i},{},{},{}", samples.labels[i], samples.predictions[i], samples.losses[i]);
        samples.row(i).into_iter().flatten().for_each(|p| text += &format!(",{p}"));
        text += "\n";
    }
    text
}

/// As JSON; docs/looking-inside.md tells the fields. `worst` are the numbers of samples.
pub fn evaluation_json(found: &Evaluation, names: &[String], samples: &Samples, worst: &[usize]) -> Value {
    let means =
        |[precision, recall, f1]: [f64; 3]| json!({"precision": precision, "recall": recall, "f1": f1});
    let of_class = |(class, m): (usize, &ClassMeasures)| {
        let c = &m.counts;
        json!({
            "class": class, "name": names[class], "precision": c.precision, "recall": c.recall, "f1": c.f1,
            "support": c.support, "predicted": c.predicted, "auc": m.curve.as_ref().map(|curve| curve.area),
        })
    };
    let mistake = |(label, predicted, count)| json!({"label": label, "predicted": predicted, "count": count});
    let sample = |&i: &usize| {
        json!({
            "sample": i, "label": samples.labels[i], "predicted": samples.predictions[i], "loss": samples.losses[i],
            "probability": samples.row(i).map(|row| row[samples.labels[i]]),
        })
    };
    let mut all = json!({
        "samples": samples.len(),
        "classes": found.classes.len(),
        "names": names,
        "accuracy": found.confusion.accuracy(),
        "averages": {"macro": means(found.averages.even), "weighted": means(found.averages.weighted)},
        "per_class": found.classes.iter().enumerate().map(of_class).collect::<Vec<_>>(),
        "confusion": found.confusion.rows().collect::<Vec<_>>(),
        "mistakes": found.confusion.mistakes(MISTAKES).into_iter().map(mistake).collect::<Vec<_>>(),
        "worst": worst.iter().map(sample).collect::<Vec<_>>(),
    });
    if let Some(p) = &found.probabilistic {
        let top = p.top.iter().map(|&(k, share)| (k.to_string(), share.into()));
        all["top_k"] = Value::Object(top.collect());
        all["log_loss"] = p.log_loss.into();
        all["brier"] = p.brier.into();
        all["calibration_error"] = p.calibration_error.into();
        let bin = |b: &crate::measures::Bin| json!({"count": b.count, "confidence": b.confidence, "accuracy": b.accuracy});
        all["calibration"] = p.bins.iter().map(bin).collect();
        all["auc"] =
            p.area.map(|[even, weighted]| json!({"macro": even, "weighted": weighted})).unwrap_or_default();
        let curves =
            found.classes.iter().enumerate().filter_map(|(class, m)| Some((class, m.curve.as_ref()?)));
        all["roc"] =
            curves.map(|(class, c)| json!({"class": class, "points": thinned(&c.points, POINTS)})).collect();
    }
    if let Some(order) = &found.order {
        all["order"] = json!({
            "mean_absolute_error": order.mean_absolute_error,
            "root_mean_square_error": order.root_mean_square_error,
            "one_off": order.one_off,
            "quadratic_kappa": order.quadratic_kappa,
        });
    }
    all
}

/// At most so many of the points, evenly, the first and the last always.
fn thinned(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    let count = points.len().min(most);
    (0..count).map(|i| points[i * (points.len() - 1) / (count - 1).max(1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> (Evaluation, Vec<String>, Samples) {
        let mut samples = Samples::new(2);
        samples.add_probabilities(&[0.75, 0.25], 0);
        samples.add_probabilities(&[0.5, 0.5], 1);
        samples.add_probabilities(&[0.0, 1.0], 1);
        (Evaluation::of(&samples, &[1], true), vec!["cat".into(), "dog, \"big\"".into()], samples)
    }

    #[test]
    fn text_has_the_whole_the_classes_and_the_matrix() {
        let (found, names, _) = found();
        let text = evaluation_text(&found, &names);
        for part in [
            "samples            3\naccuracy           0.6667\n",
            "quadratic kappa    0.4000\n",
            "\nclass          precision  recall      F1     AUC  samples\ncat               0.5000  1.0000  0.6667  1.0000        1\n",
            "macro mean        0.7500  0.7500  0.6667  1.0000        3\n",
            "       cat  dog, \"big\"\ncat           1           .\ndog, \"big\"",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn many_classes_have_their_mistakes_listed() {
        let mut samples = Samples::new(30);
        samples.add_prediction(7, 3);
        let names: Vec<String> = (0..30).map(|i| format!("c{i}")).collect();
        let text = evaluation_text(&Evaluation::of(&samples, &[], false), &names);
        assert!(text.ends_with("class  taken for  times\nc3     c7             1\n"), "{text}");
    }

    #[test]
    fn csv_has_fields_for_all() {
        let (found, names, samples) = found();
        let text = evaluation_csv(&found, &names);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "0,cat,0.5,1,0.6666666666666666,1,1,2");
        assert!(lines[2].starts_with("1,\"dog, \"\"big\"\"\",1,0.5,"), "{text}");
        assert!(lines[3].starts_with(",macro,0.75,0.75,") && lines.len() == 5);
        let text = predictions_csv(&samples);
        assert!(text.starts_with("sample,label,predicted,loss,p0,p1\n0,0,0,0.28768"), "{text}");
        assert!(text.lines().nth(1).unwrap().ends_with(",0.75,0.25"), "{text}");
    }

    #[test]
    fn json_has_numbers() {
        let (found, names, samples) = found();
        let all = evaluation_json(&found, &names, &samples, &[1]);
        assert_eq!(all["confusion"], json!([[1, 0], [1, 1]]));
        assert_eq!(all["auc"]["macro"], 1.0);
        assert_eq!(all["worst"][0]["probability"], 0.5);
        assert_eq!(all["per_class"][1]["name"], names[1]);
        assert_eq!((&all["top_k"]["1"], &all["order"]["one_off"]), (&json!(2.0 / 3.0), &json!(1.0)));
        assert_eq!(
            thinned(&[[0.0; 2], [1.0; 2], [2.0; 2], [3.0; 2], [4.0; 2]], 3),
            [[0.0; 2], [2.0; 2], [4.0; 2]]
        );
        assert_eq!(thinned(&[[0.0; 2]], 3), [[0.0; 2]]);
    }
}
