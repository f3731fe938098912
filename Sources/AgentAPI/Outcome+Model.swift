public import SandboxModel

extension Outcome {
    /// Its limits are beside it, in `Sandbox.limits`.
    public init(_ outcome: SandboxOutcome) {
        self.init(
            ending: Ending(outcome.ending), exitCode: outcome.exitCode,
            usage: Usage(outcome.usage), timeline: outcome.timeline.map { Moment($0) })
    }
}

extension SandboxOutcome {
    /// Nothing for an ending that is not there, or that a newer peer knows alone: then the exit
    /// code is all there is to say.
    ///
    /// - Parameter limits: of the sandbox; kinds of a newer peer are left out.
    public init?(_ message: Outcome, limits: [AgentAPI.LimitStatus] = []) {
        guard let ending = message.ending?.model(exitCode: message.exitCode) else { return nil }
        self.init(
            ending: ending, usage: (message.usage ?? AgentAPI.Usage()).model,
            limits: limits.compactMap(\.model), timeline: message.timeline.map(\.model))
    }
}

extension Ending {
    public init(_ ending: SandboxOutcome.Ending) {
        switch ending {
        case .ended(let exit): self.init(how: .ended(Exit(exit)))
        case .denied(let call, let more, let exit):
            let denied = Denied(call: call, more: UInt32(clamping: more), exit: Exit(exit))
            self.init(how: .denied(denied))
        case .outOfMemory: self.init(how: .outOfMemory(OutOfMemory()))
        case .timedOut: self.init(how: .timedOut(TimedOut()))
        case .failed(let error):
            let detail = ErrorDetail(code: error.code.name, hint: error.hint ?? "")
            self.init(how: .failed(Failed(message: error.message, detail: detail)))
        }
    }

    /// - Parameter exitCode: of the outcome. It stands for an error whose name is not known here.
    func model(exitCode: Int32) -> SandboxOutcome.Ending? {
        switch how {
        case .ended(let exit): return exit.model.map { .ended($0) }
        case .denied(let denied):
            return denied.exit?.model.map {
                .denied(call: denied.call, more: Int(denied.more), exit: $0)
            }
        case .outOfMemory: return .outOfMemory
        case .timedOut: return .timedOut
        case .failed(let failed):
            let code =
                SandboxError.Code(named: failed.detail?.code ?? "")
                ?? SandboxError.Code(rawValue: exitCode) ?? .setUpFailed
            let hint = failed.detail?.hint ?? ""
            return .failed(SandboxError(code, failed.message, hint: hint.isEmpty ? nil : hint))
        case nil: return nil
        }
    }
}

extension Exit {
    public init(_ exit: SandboxOutcome.Exit) {
        switch exit {
        case .exited(let code): self.init(how: .code(code))
        case .signaled(let number, let name):
            self.init(how: .signal(Signal(number: number, name: name)))
        }
    }

    /// Nothing where it does not say how.
    public var model: SandboxOutcome.Exit? {
        switch how {
        case .code(let code): .exited(code: code)
        case .signal(let signal): .signaled(number: signal.number, name: signal.name)
        case nil: nil
        }
    }
}

extension Usage {
    public init(_ usage: SandboxOutcome.Usage) {
        self.init(
            userMicroseconds: usage.userMicroseconds,
            systemMicroseconds: usage.systemMicroseconds,
            peakResidentKilobytes: usage.peakResidentKilobytes)
    }

    public var model: SandboxOutcome.Usage {
        SandboxOutcome.Usage(
            userMicroseconds: userMicroseconds, systemMicroseconds: systemMicroseconds,
            peakResidentKilobytes: peakResidentKilobytes)
    }
}

extension Moment {
    public init(_ moment: SandboxOutcome.Moment) {
        self.init(what: moment.what, nanoseconds: moment.nanoseconds)
    }

    public var model: SandboxOutcome.Moment {
        SandboxOutcome.Moment(what: what, nanoseconds: nanoseconds)
    }
}
