internal import AgentOperations
internal import LinuxKernel

enum Adoption {
    /// Takes over what the service manager gave, tells it so, and prints what that was and what a
    /// child would still get.
    static func report() throws {
        let manager = try ServiceManager.adopt()
        var sockets = try InheritedSockets.adopt()
        print("manager \(manager.isPresent)")
        print("watchdog \(manager.watchdogInterval.map { "\($0)" } ?? "none")")
        for name in InheritedSockets.Name.allCases {
            guard let socket = sockets.take(name) else { continue }
            let isListening = try UnixSockets.isListening(socket)
            print("\(name.rawValue) \(socket.rawValue) listening \(isListening)")
        }
        let variables = ServiceManager.variables + InheritedSockets.variables
        print("left \(variables.filter { ProcessEnvironment.value(of: $0) != nil })")
        try manager.tell(.ready, .status("adopted"), .mainProcess(ThisProcess.identifier))
        if manager.watchdogInterval != nil { try manager.tell(.watchdog) }
        try manager.tell(.reloading)
        try manager.tell(.stopping)
    }
}
