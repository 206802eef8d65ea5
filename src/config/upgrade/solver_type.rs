//! A solver's update rule was a number, `solver_type: ADAM`; now it is a name, `type: "Adam"`.

use super::Complaint;
use crate::config::proto::SolverParameter;
use crate::config::proto::solver_parameter::SolverType;

/// What is old, in a few words.
pub(super) const NAME: &str = "`solver_type`";

/// Whether the solver names its rule in the old way.
pub(super) fn applies(solver: &SolverParameter) -> bool {
    solver.solver_type.is_some()
}

/// Names the rule in the new way. A solver that does both is refused.
pub(super) fn apply(mut solver: SolverParameter, complaints: &mut Vec<Complaint>) -> SolverParameter {
    let Some(number) = solver.solver_type else { return solver };
    if solver.r#type.is_some() {
        let message = "the update rule is given twice, by `type` and by its old form `solver_type`";
        complaints.push(Complaint::error(None, "solver_type", message).hint("keep `type` only"));
        return solver;
    }
    let Ok(rule) = SolverType::try_from(number) else {
        complaints.push(Complaint::error(
            None,
            "solver_type",
            format!("no update rule has the number {number}"),
        ));
        return solver;
    };
    solver.r#type = Some(type_name(rule).to_owned());
    solver.solver_type = None;
    solver
}

fn type_name(rule: SolverType) -> &'static str {
    match rule {
        SolverType::Sgd => "SGD",
        SolverType::Nesterov => "Nesterov",
        SolverType::Adagrad => "AdaGrad",
        SolverType::Rmsprop => "RMSProp",
        SolverType::Adadelta => "AdaDelta",
        SolverType::Adam => "Adam",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::{parse, print};

    fn upgraded(text: &str) -> (String, Vec<Complaint>) {
        let solver = parse::<SolverParameter>("solver", text).expect("a good text").message;
        let mut complaints = Vec::new();
        let solver = apply(solver, &mut complaints);
        (print(&solver), complaints)
    }

    #[test]
    fn every_number_has_its_name() {
        let cases =
            ["SGD SGD", "NESTEROV Nesterov", "ADAGRAD AdaGrad", "RMSPROP RMSProp", "ADADELTA AdaDelta"];
        for case in cases.into_iter().chain(["ADAM Adam"]) {
            let (old, new) = case.split_once(' ').expect("two words");
            let (text, complaints) = upgraded(&format!("solver_type: {old}"));
            assert_eq!((text, complaints), (format!("type: \"{new}\"\n"), vec![]));
        }
    }

    #[test]
    fn both_forms_and_unknown_numbers_are_refused() {
        let (text, complaints) = upgraded("type: 'SGD' solver_type: SGD");
        assert_eq!(text, "solver_type: SGD\ntype: \"SGD\"\n");
        assert!(complaints[0].message.contains("given twice"));
        let mut complaints = Vec::new();
        apply(SolverParameter { solver_type: Some(9), ..Default::default() }, &mut complaints);
        assert_eq!(complaints[0].message, "no update rule has the number 9");
    }
}
