/// A plan as documentation shows it.
public enum PlanDocument {
    /// The steps in order, with who performs them and why they are there.
    ///
    /// - Parameter escaping: what is done to a step's text, which holds what a user has typed.
    public static func table(
        of plan: SandboxPlan, escaping: (String) -> String = { $0 }
    ) -> String {
        let rows = plan.steps.enumerated().map { index, step in
            "| \(index + 1) | \(step.performer.rawValue) | \(escaped(escaping("\(step)"))) |"
                + " \(escaped(step.reason)) |\n"
        }
        return "| | by | step | why |\n|---|---|---|---|\n" + rows.joined()
    }

    /// A bar would end the cell.
    private static func escaped(_ text: String) -> String {
        text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
