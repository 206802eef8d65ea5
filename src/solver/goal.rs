//! What tests give, and an output of them that is followed: for keeping the best weights, and for stopping when it no longer
//! gets better.

use super::SolverError;

/// The mean of one output of a test net, over its `test_iter` batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// The output's name.
    pub name: String,
    /// The mean of each of its values.
    pub values: Vec<f32>,
    /// Its weight in the net's loss.
    pub loss_weight: f32,
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
    /// Follows `NAME`, `NAME:max` or `NAME:min`; without a direction a name with `loss` or `error` in it is to fall.
    pub fn parse(text: &str, patience: Option<i32>) -> Self {
        let (name, larger) = match text.rsplit_once(':') {
            Some((name, "max")) => (name, true),
            Some((name, "min")) => (name, false),
            _ => (text, !["loss", "error"].iter().any(|w| text.to_lowercase().contains(w))),
        };
        Self { name: name.to_owned(), larger, patience, best: None, since: 0 }
    }

    /// The name and the direction, `NAME:max` or `NAME:min`.
    pub fn text(&self) -> String {
        format!("{}:{}", self.name, if self.larger { "max" } else { "min" })
    }

    /// Refuses a name that no test net gives.
    ///
    /// # Errors
    /// With the names that there are.
    pub fn check<'a>(&self, outputs: impl Iterator<Item = &'a str>) -> Result<(), SolverError> {
        let outputs: Vec<&str> = outputs.collect();
        if outputs.contains(&self.name.as_str()) {
            return Ok(());
        }
        let there = if outputs.is_empty() { "no test outputs".into() } else { outputs.join(", ") };
        let message = format!("`{}` is no output of a test net; there are: {there}", self.name);
        Err(SolverError::setting("test_iter", message))
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
        goal.see(&[Mean { name: goal.name.clone(), values: vec![value], loss_weight: 0.0 }])
    }

    #[test]
    fn better_values_are_noticed_and_patience_ends() {
        let mut goal = Goal::parse("accuracy", Some(2));
        assert!(saw(&mut goal, 0.5) && saw(&mut goal, 0.6) && !saw(&mut goal, 0.6) && !goal.is_given_up());
        assert!(!saw(&mut goal, f32::NAN) && goal.is_given_up());
        assert!(saw(&mut goal, 0.7) && !goal.is_given_up());
    }

    #[test]
    fn losses_are_to_fall() {
        let mut goal = Goal::parse("softmax_loss", None);
        assert!(!goal.larger && saw(&mut goal, 1.0) && !saw(&mut goal, 2.0) && saw(&mut goal, 0.5));
        assert!(Goal::parse("loss:max", None).larger && !Goal::parse("map:min", None).larger);
        assert!(goal.check(["a", "b"].into_iter()).unwrap_err().to_string().contains("there are: a, b"));
    }
}
