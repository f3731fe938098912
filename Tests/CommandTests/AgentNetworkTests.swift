import Foundation
import JSON
import TestSupport
import Testing

extension AgentCommandTests {
    /// `alcove network` and `alcove port-forward` with a daemon of their own.
    @Suite(.needs(.netAdmin)) struct Network {
        @Test("a sandbox's network is what the flags say, and is replaced while it runs")
        func policy() throws {
            let daemon = try AgentDaemon(hasNetworks: true)
            let image = try Products.baseImage()
            _ = try daemon.output(
                "create", "--start", "--id", "box", "--network", "public", "--deny",
                "tcp:10.0.0.0/8:1-100", "--allow", "*.example.org", "--publish", "8080:80",
                "--net-out", "10MiB/s", "--net-flows", "100", image, "--", "sleep", "1000000")
            let shown = try daemon.output("network", "show", "box")
            for text in ["open", "8080:80", "100.64.0.", "tcp:10.0.0.0/8:1-100", "*.example.org"] {
                #expect(shown.contains(text), "\(shown)")
            }
            let network = try daemon.json("network", "show", "--json", "box")["network"]
            #expect(network?["rules"]?.array?.count == 1)
            #expect(network?["limits"]?["sent_bytes"]?["per_second"]?.uint64 == 10 << 20)
            #expect(try daemon.output("network", "set", "--network", "closed", "box") == "box\n")
            #expect(try daemon.output("network", "show", "box").contains("closed"))
            let events = try daemon.output("events")
            #expect(events.contains("network changed: closed"), "\(events)")
            let status = try daemon.output("network", "status")
            #expect(status.contains("slots in use") && status.contains("false-source"))
            #expect(try daemon.json("network", "status", "--json")["enabled"] == true)
        }

        @Test("a node joins VPCs, and sandboxes are in some of them")
        func vpcs() throws {
            let daemon = try AgentDaemon(hasNetworks: true)
            let image = try Products.baseImage()
            let words = [
                "network", "vpc", "join", "blue", "--vni", "7", "--prefix", "10.1.0.0/16",
                "--tunnel", "100.96.0.2", "--proxy", "192.0.2.10,100.96.0.1",
            ]
            for _ in 0..<2 { #expect(try daemon.alcove(words).output == "blue\n") }
            _ = try daemon.output(
                "create", "--start", "--id", "box", "--network", "closed", image, "--", "sleep",
                "1000000")
            #expect(try daemon.output("network", "attach", "box", "blue") == "box\n")
            let listed = try daemon.output("network", "vpc", "ls")
            #expect(listed.contains("blue") && listed.contains("192.0.2.10"), "\(listed)")
            #expect(try daemon.output("network", "vpc", "ls", "--quiet") == "blue\n")
            let refused = try daemon.alcove("network", "vpc", "leave", "blue")
            #expect(refused.errorOutput.contains("sandbox `box` is in the VPC `blue`"))
            let json = try daemon.json("network", "detach", "--json", "box", "blue")
            #expect(json["network"]?["vpcs"]?.array?.isEmpty == true)
            #expect(try daemon.output("network", "vpc", "leave", "blue") == "blue\n")
            let missing = try daemon.alcove("network", "attach", "box", "blue")
            #expect(missing.errorOutput.contains("the node is in no VPC `blue`"), "\(missing)")
        }

        @Test("a port of this machine leads to one of a sandbox")
        func forward() throws {
            let daemon = try AgentDaemon(hasNetworks: true)
            let image = try Products.baseImage()
            _ = try daemon.output(
                "create", "--start", "--id", "box", "--network", "closed", image, "--", "sh", "-c",
                "echo ready; while :; do echo hello | nc -l -p 80; done")
            let port = Int.random(in: 20000...29999)
            let forward = try daemon.start("port-forward", "box", "\(port):80")
            try forward.waitForOutput("leads to port 80 of box")
            let heard = try run(
                "bash", arguments: ["-c", "exec 3<>/dev/tcp/127.0.0.1/\(port); cat <&3"])
            #expect(heard.output == "hello\n", "\(heard)")
            try forward.send(signal: 2)
            #expect(try forward.finish().code == 0)
            let none = try daemon.alcove("port-forward", "box", "nothing")
            #expect(none.code == 64 && none.errorOutput.contains("is no port"), "\(none)")
        }

        @Test(
            "what is no rule, port or proxy is refused with how one is written",
            arguments: [
                (["--allow", "tcp:10.0.0.0/8:x"], "as in tcp:10.0.0.0/8:443"),
                (["--deny", "10.0.0.0/8:9-8"], "as in tcp:10.0.0.0/8:443"),
                (["--publish", "icmp:1"], "as in 8080:80"),
                (["--publish", "0"], "as in 8080:80"), (["--network", "open"], "public"),
                (["--net-in", "10"], "10MiB/s"), (["--inbound", "blue"], "VPC=ADDRESS"),
            ])
        func mistakes(flags: [String], hint: String) throws {
            let result = try run(
                Products.path("alcove"),
                arguments: ["create"] + flags + ["/", "--", "true"])
            #expect(result.code == 64 && result.errorOutput.contains(hint), "\(result)")
        }
    }
}
