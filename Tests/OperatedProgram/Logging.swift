internal import AgentOperations
internal import LinuxKernel

enum Logging {
    /// Logs a line of each level and one with values that want to be escaped.
    static func log(_ format: String) throws {
        guard let choice = AgentConfiguration.LogFormat(rawValue: format) else {
            throw ServiceError("no format is called `\(format)`")
        }
        let log = Log(
            level: .debug, format: Log.Format(choice, environment: ProcessEnvironment.entries))
        log.error("it failed", ["jail.step": "pivot_root", "try": 3])
        log.warning("it is late", ["late.by": .duration(.milliseconds(1500))])
        log.info("hostile", ["workload.says": "two\nlines \u{1B}[31m \"quoted\"", "is": true])
        log.debug("nothing to say")
    }
}
