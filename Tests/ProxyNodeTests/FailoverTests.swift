import AgentAPI
import TestSupport
import Testing

@Suite("Two proxies of a VPC", .needs(.root, .netAdmin, .sysAdmin, .ip, .python3))
struct FailoverTests {
    @Test(
        "the fixed address goes to the one that is left and back, under a connection that goes on")
    func shared() throws {
        let scene = try FailoverScene(sharing: true)
        let (first, second) = (scene.machines[0], scene.machines[1])
        #expect(try first.vpc().hasEgressAddresses)
        let client = try scene.sandbox.talk(to: "10.9.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        var next = [try first.lastEvent() + 1, try second.lastEvent() + 1]
        for round in 1...2 {
            try scene.cable("under", of: first, isUp: false)
            next[1] = try second.wait(from: next[1], isHere: true)
            #expect(try scene.sandbox.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
            client.write("away \(round)\n")
            try client.waitForOutput("echo away \(round)")
            #expect(try second.vpc().hasEgressAddresses)
            try scene.cable("under", of: first, isUp: true)
            next[1] = try second.wait(from: next[1], isHere: false)
            #expect(try scene.sandbox.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
            client.write("back \(round)\n")
            try client.waitForOutput("echo back \(round)")
        }
        let peers = try second.vpc().peers
        #expect(peers.map(\.tunnelAddress) == ["100.96.0.10"])
        #expect(peers.first?.isAlive == true && peers.first?.lostRequests ?? 0 >= 3)
        #expect(try !second.vpc().hasEgressAddresses)
    }

    @Test("programs that are killed change nothing, whoever has the fixed address")
    func killed() throws {
        let scene = try FailoverScene(sharing: true)
        let (first, second) = (scene.machines[0], scene.machines[1])
        let client = try scene.sandbox.talk(to: "10.1.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        func round(_ name: String) throws {
            for machine in scene.machines { try machine.kill() }
            client.write("\(name)\n")
            try client.waitForOutput("echo \(name)")
            for machine in scene.machines {
                try machine.restart()
                #expect(machine.process.errorOutput.contains("\"kernel.changes\":0"))
            }
        }
        try round("before")
        #expect(try first.vpc().hasEgressAddresses && !second.vpc().hasEgressAddresses)
        try scene.cable("under", of: first, isUp: false)
        let next = try second.wait(isHere: true)
        try round("away")
        #expect(try second.vpc().hasEgressAddresses)
        try scene.cable("under", of: first, isUp: true)
        try second.wait(from: next, isHere: false)
        client.write("back\n")
        try client.waitForOutput("echo back")
    }

    @Test("a proxy whose uplink is down is silent, and the other one has the address")
    func uplink() throws {
        let scene = try FailoverScene(sharing: true)
        let (first, second) = (scene.machines[0], scene.machines[1])
        let client = try scene.sandbox.talk(to: "10.1.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        try scene.cable("blue", of: first, isUp: false)
        let given = try first.wait(isHere: false)
        let taken = try second.wait(isHere: true)
        #expect(try scene.sandbox.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
        client.write("away\n")
        try client.waitForOutput("echo away")
        try scene.cable("blue", of: first, isUp: true)
        try first.wait(from: given, isHere: true)
        try second.wait(from: taken, isHere: false)
        client.write("back\n")
        try client.waitForOutput("echo back")
    }

    @Test("a proxy that is cut off itself does not take the address from one that is not")
    func cutOff() throws {
        let scene = try FailoverScene(sharing: true)
        let (first, second) = (scene.machines[0], scene.machines[1])
        let before = try second.lastEvent()
        for _ in 0..<2 {
            try scene.cable("under", of: second, isUp: false)
            try first.process.waitForErrorOutput("another proxy does not answer")
            try second.process.waitForErrorOutput("another proxy does not answer")
            #expect(try scene.sandbox.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
            try scene.cable("under", of: second, isUp: true)
            try second.process.waitForErrorOutput("another proxy is back")
        }
        #expect(try second.lastEvent() == before)
        #expect(try first.vpc().hasEgressAddresses && !second.vpc().hasEgressAddresses)
    }

    @Test("a sandbox is reached by an address that goes to the proxy that is left, too")
    func inbound() throws {
        let scene = try FailoverScene(sharing: true)
        let (first, second) = (scene.machines[0], scene.machines[1])
        let server = try scene.sandbox.start("python3", ["-u", "-c", ProxyScene.server, "box"])
        try server.waitForOutput("listening")
        for machine in scene.machines { try machine.addInbound("10.1.0.20", to: "100.96.1.7") }
        try scene.lead("100.96.1.7")
        let client = try scene.tenant.talk(to: "10.1.0.20")
        try client.waitForOutput("box 10.1.0.1")
        try scene.cable("under", of: first, isUp: false)
        let next = try second.wait(isHere: true)
        #expect(try scene.tenant.greeting(of: "10.1.0.20") == "box 10.1.0.1")
        client.write("away\n")
        try client.waitForOutput("echo away")
        for machine in scene.machines {
            try machine.kill()
            try machine.restart()
            #expect(machine.process.errorOutput.contains("\"kernel.changes\":0"))
        }
        try scene.cable("under", of: first, isUp: true)
        try second.wait(from: next, isHere: false)
        #expect(try scene.tenant.greeting(of: "10.1.0.20") == "box 10.1.0.1")
        client.write("back\n")
        try client.waitForOutput("echo back")
    }

    @Test("proxies with addresses of their own share the flows, and one that dies leaves them")
    func own() throws {
        let scene = try FailoverScene(sharing: false)
        var greetings: Set<String> = []
        // By their ports: of so many flows all to one would be a wonder.
        for _ in 0..<24 { greetings.insert(try scene.sandbox.greeting(of: "10.1.0.1")) }
        #expect(greetings == ["blue 10.1.0.10", "blue 10.1.0.11"])
        for cable in ["under", "blue"] {
            try scene.cable(cable, of: scene.machines[0], isUp: false)
            for _ in 0..<8 {
                // What begins before the node knows is sent again.
                let greeting = try scene.sandbox.greeting(of: "10.1.0.1")
                #expect(greeting == "blue 10.1.0.11")
            }
            try scene.cable(cable, of: scene.machines[0], isUp: true)
        }
    }
}
