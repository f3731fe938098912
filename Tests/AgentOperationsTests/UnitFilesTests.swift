import AgentOperations
import Foundation
import TestSupport
import Testing

/// The settings of a unit file. Lists come as one entry for each line.
private struct UnitFile {
    let text: String
    private let settings: [(name: String, value: String)]

    init(_ name: String) throws {
        text = try String(
            contentsOfFile: PackageRoot.path("packaging/systemd/\(name)"), encoding: .utf8)
        settings = text.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard !line.hasPrefix("#"), parts.count == 2 else { return nil }
            return (String(parts[0]), String(parts[1]))
        }
    }

    subscript(name: String) -> [String] { settings.filter { $0.name == name }.map(\.value) }

    var names: Set<String> { Set(settings.map(\.name)) }
}

@Suite struct UnitFilesTests {
    /// What systemd says on the units, with the program's path replaced by one that is there.
    private func verdict(
        changing old: String = "", to new: String = ""
    ) throws -> String {
        let folder = try TemporaryFolder()
        let names = ["alcoved.service", "alcoved.socket", "alcove-proxy.service"]
        for name in names {
            var text = try UnitFile(name).text
            for program in ["/usr/sbin/alcoved", "/usr/sbin/alcove-proxy"] {
                text = text.replacingOccurrences(of: program, with: "/bin/true")
            }
            if !old.isEmpty { text = text.replacingOccurrences(of: old, with: new) }
            try text.write(toFile: folder.path(name), atomically: true, encoding: .utf8)
        }
        let result = try run(
            "systemd-analyze",
            arguments: ["verify", "--man=no"] + names.map(folder.path))
        return result.succeeded ? result.output + result.errorOutput : "\(result)"
    }

    @Test("systemd understands every line of the units", .needs(.systemdAnalyze))
    func verified() throws {
        #expect(try verdict() == "")
        // It would say so if it did not.
        #expect(try verdict(changing: "KillMode=process", to: "KillMode=none of them") != "")
        #expect(try verdict(changing: "SocketMode=0660", to: "SocketMod=0660") != "")
    }

    @Test("the service leaves sandboxes and what they need alone")
    func sandboxesSurvive() throws {
        let unit = try UnitFile("alcoved.service")
        #expect(unit["KillMode"] == ["process"])
        #expect(unit["RuntimeDirectoryPreserve"] == ["yes"])
        #expect(unit["Type"] == ["notify"] && unit["Delegate"] == ["yes"])
        #expect(unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"])
        #expect(unit["Restart"] == ["on-failure"] && unit["WatchdogSec"] == ["30"])
        #expect(unit["RestartPreventExitStatus"] == ["64 65 78"])
        #expect(!unit["StartLimitBurst"].isEmpty && !unit["StartLimitIntervalSec"].isEmpty)
        let prefixes = [
            "SystemCall", "Restrict", "Protect", "Private", "MemoryDeny", "Lock", "ReadOnly",
            "Inaccessible", "TemporaryFileSystem", "BindPaths", "RootDirectory", "OOMScore",
        ]
        for name in unit.names {
            #expect(
                !prefixes.contains { name.hasPrefix($0) },
                "`\(name)` reaches sandboxes, or hides mounts from the next agent")
        }
    }

    @Test("the proxy's service leaves what the next proxy takes over")
    func networksSurvive() throws {
        let unit = try UnitFile("alcove-proxy.service")
        #expect(unit["RuntimeDirectory"] == ["alcove-proxy"])
        #expect(unit["RuntimeDirectoryPreserve"] == ["yes"])
        #expect(unit["StateDirectory"] == ["alcove-proxy"])
        #expect(unit["Type"] == ["notify"] && unit["Restart"] == ["on-failure"])
        let mountNamespaces = [
            "PrivateTmp", "PrivateDevices", "PrivateMounts", "ProtectSystem", "ProtectHome",
            "ProtectKernelTunables", "ReadOnlyPaths", "PrivateNetwork",
        ]
        #expect(unit.names.isDisjoint(with: mountNamespaces))
    }

    @Test("the units and the agent's defaults name the same places")
    func sameAsDefaults() throws {
        let service = try UnitFile("alcoved.service")
        let socket = try UnitFile("alcoved.socket")
        let defaults = AgentConfiguration()
        #expect(socket["ListenStream"] == [defaults.socket.path])
        #expect(socket["SocketMode"] == ["0" + String(defaults.socket.mode, radix: 8)])
        #expect(socket["FileDescriptorName"] == [InheritedSockets.Name.agent.rawValue])
        for directory in service["RuntimeDirectory"] {
            #expect(defaults.socket.path.hasPrefix("/run/\(directory)/"))
            #expect(defaults.metrics.path.hasPrefix("/run/\(directory)/"))
        }
        #expect(service["StateDirectory"].map { "/var/lib/" + $0 } == [defaults.stateDirectory])
        let groups = try UnitFile("alcove.sysusers").text
        for group in socket["SocketGroup"] { #expect(groups.contains("\ng \(group) ")) }
    }
}
