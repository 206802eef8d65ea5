//! What tests give, and an output of them that is followed: for keeping the best weights, and for stopping when it no longer
//! gets better.

use super::SolverError;
use crate::net::Output;

/// The mean of one output of a test net, over its `test_iter` batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// The output's name.
    pub name: String,
    /// The mean of each of its values.
    pub values: Vec<f32>,
    /// Its weight in the net's loss.
    pub loss_weight: f32,
    /// Whether more of it is better, where its layer or its name tells.
    pub more_is_better: Option<bool>,
}

impl Mean {
    /// Of an output, still without values.
    pub(super) fn of(output: &Output<'_>) -> Self {
        Self {
            name: output.name.to_owned(),
            values: Vec::new(),
            loss_weight: output.loss_weight,
            more_is_better: output.more_is_better.or_else(|| named(output.name)),
        }
    }
}

/// Whether more is better of what has such a name, if it has a word in it that tells.
fn named(name: &str) -> Option<bool> {
    let name = name.to_lowercase();
    let has = |word: &str| name.contains(word);
    if has("loss") || has("error") { Some(false) } else { has("accuracy").then_some(true) }
}

/// What to follow, and what has been seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The output's name.
    pub name: String,
    /// Whether more is better.
    pub larger: bool,
    /// Stop after so many tests in a row without a better value.
    pub patience: Option<i32>,
    /// The best value so far.
    pub best: Option<f64>,
    /// Tests since then.
    pub since: i32,
}

impl Goal {
    /// Follows `NAME`, `NAME:max` or `NAME:min` of these outputs of test nets; without a direction a loss is to fall and an
    /// accuracy is to rise.
    ///
    /// # Errors
    /// With the names that there are for one that is not among them; for an output of several values; and for one that does
    /// not tell its direction.
    pub fn parse(text: &str, patience: Option<i32>, outputs: &[Output<'_>]) -> Result<Self, SolverError> {
        let (name, given) = match text.rsplit_once(':') {
            Some((name, "max")) => (name, Some(true)),
            Some((name, "min")) => (name, Some(false)),
            _ => (text, None),
        };
        let refuse = |message: String| Err(SolverError::setting("test_iter", message));
        let Some(output) = outputs.iter().find(|output| output.name == name) else {
            let names: Vec<&str> = outputs.iter().map(|output| output.name).collect();
            let there = if names.is_empty() { "no test outputs".into() } else { names.join(", ") };
            return refuse(format!("`{name}` is no output of a test net; there are: {there}"));
        };
        if output.values.len() != 1 {
            return refuse(format!(
                "`{name}` has {} values: only an output of one value can be followed",
                output.values.len()
            ));
        }
        match given.or(Mean::of(output).more_is_better) {
            Some(larger) => Ok(Self::new(name, larger, patience)),
            None => refuse(format!(
                "`{name}` does not tell whether less or more is better: write `{name}:min` or `{name}:max`"
            )),
        }
    }

    /// Nothing has been seen yet.
    pub fn new(name: &str, larger: bool, patience: Option<i32>) -> Self {
        Self { name: name.to_owned(), larger, patience, best: None, since: 0 }
    }

    /// The name and the direction, `NAME:max` or `NAME:min`.
    pub fn text(&self) -> String {
        format!("{}:{}", self.name, if self.larger { "max" } else { "min" })
    }

    /// Takes in the results of a test; whether they are the best so far. NaN never is.
    pub fn see(&mut self, outputs: &[Mean]) -> bool {
        let Some(value) = outputs.iter().find(|m| m.name == self.name).and_then(|m| m.values.first()) else {
            return false;
        };
        let value = f64::from(*value);
        let better = match self.best {
            _ if value.is_nan() => false,
            None => true,
            Some(best) => {
                if self.larger {
                    value > best
                } else {
                    value < best
                }
            }
        };
        if better {
            (self.best, self.since) = (Some(value), 0);
        } else {
            self.since += 1;
        }
        better
    }

    /// Whether patience is at its end.
    pub fn is_given_up(&self) -> bool {
        self.patience.is_some_and(|p| self.since >= p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(goal: &mut Goal, value: f32) -> bool {
        let (name, values) = (goal.name.clone(), vec![value]);
        goal.see(&[Mean { name, values, loss_weight: 0.0, more_is_better: None }])
    }

    fn output(name: &str, more_is_better: Option<bool>) -> Output<'_> {
        Output { name, values: &[0.0], loss_weight: 0.0, more_is_better }
    }

    #[test]
    fn better_values_are_noticed_and_patience_ends() {
        let mut goal = Goal::new("accuracy", true, Some(2));
        assert!(saw(&mut goal, 0.5) && saw(&mut goal, 0.6) && !saw(&mut goal, 0.6) && !goal.is_given_up());
        assert!(!saw(&mut goal, f32::NAN) && goal.is_given_up());
        assert!(saw(&mut goal, 0.7) && !goal.is_given_up());
        let mut goal = Goal::new("loss", false, None);
        assert!(saw(&mut goal, 1.0) && !saw(&mut goal, 2.0) && saw(&mut goal, 0.5));
    }

    #[test]
    fn the_flag_the_layer_and_the_name_tell_the_direction_in_this_order() {
        let outputs = [
            output("cost", Some(false)),
            output("error_free", Some(true)),
            output("top5_accuracy", None),
            output("my_Error", None),
        ];
        let larger = |text| Goal::parse(text, None, &outputs).unwrap().larger;
        assert!(!larger("cost") && larger("cost:max") && larger("error_free") && !larger("error_free:min"));
        assert!(larger("top5_accuracy") && !larger("my_Error"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let many = Output { values: &[0.0; 3], ..output("per_class", Some(true)) };
        let outputs = [output("a", None), many];
        let refused = |text, outputs| Goal::parse(text, None, outputs).unwrap_err().to_string();
        assert!(refused("b", &outputs).contains("there are: a, per_class"));
        assert!(refused("b", &[]).contains("there are: no test outputs"));
        assert!(refused("a", &outputs).contains("write `a:min` or `a:max`"));
        assert!(refused("per_class:max", &outputs).contains("has 3 values"));
    }
}
