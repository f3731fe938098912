/// What a start's time is spent on.
public enum StartStage: String, MetricLabel {
    /// It waits for other starts to end.
    case queued
    /// Its intent is written down.
    case recorded
    /// Cgroup, limits and report pipe.
    case prepared
    /// From there until the process is there.
    case spawned
    /// From there until `alcove-init` runs in the finished jail.
    case isolated
    /// From there until the workload runs.
    case executed
    /// All of it, from the request to the running workload.
    case total

    public static let labelName = "stage"
}

/// What a request to create came to.
public enum CreateResult: String, MetricLabel {
    case created
    /// The same request had come before.
    case existed
    /// Another sandbox has the id.
    case conflict
    case invalid
    /// It does not fit, or too many starts wait.
    case exhausted
    /// The node is draining, or the record cannot be written.
    case unavailable
    case failed

    public static let labelName = "result"
}

/// What a start came to.
public enum StartResult: String, MetricLabel {
    case running
    case failed
    /// Too many waited.
    case refused
    /// It waited too long for others.
    case expired
    /// Stopped or deleted while it waited.
    case abandoned

    public static let labelName = "result"
}

/// Why a sandbox ended.
public enum EndCause: String, MetricLabel {
    case exited
    case signaled
    case deniedCall = "denied_call"
    case outOfMemory = "out_of_memory"
    case timedOut = "timed_out"
    /// It did not come to run.
    case setUpFailed = "set_up_failed"
    /// It ran, and nothing tells how it ended.
    case lost

    public static let labelName = "cause"
}

public enum SandboxStateLabel: String, MetricLabel {
    case created, starting, running, paused, stopping, stopped, failed, removing

    public static let labelName = "state"
}

public enum ConnectionResult: String, MetricLabel {
    case accepted
    /// Its user may not call.
    case denied
    /// There were too many.
    case excess
    /// Ended for what it sent, or did not send in time.
    case failed

    public static let labelName = "result"
}

/// What the agent did at its start with what an earlier one left.
public enum RecoveryResult: String, MetricLabel {
    /// It runs on.
    case adopted
    /// It ended meanwhile.
    case ended
    /// Half stopped or removed: done to its end.
    case finished
    /// Half started: taken back.
    case undone
    /// Nobody's: removed.
    case removed

    public static let labelName = "result"
}

/// An amount of a resource of the node.
public enum AmountLabel: String, MetricLabel {
    /// What the node has.
    case total
    /// What sandboxes may reserve.
    case allocatable
    case reserved
    /// Measured.
    case used

    public static let labelName = "amount"
}

/// Which of the store's images. One may be of several kinds.
public enum ImageKindLabel: String, MetricLabel {
    case all, pinned, used, damaged

    public static let labelName = "kind"
}

/// Which of the store's layers.
public enum LayerKindLabel: String, MetricLabel {
    case all, mounted, damaged

    public static let labelName = "kind"
}

public enum StoreAmountLabel: String, MetricLabel {
    case used, capacity

    public static let labelName = "amount"
}

/// What an import of an archive came to.
public enum ImportResultLabel: String, MetricLabel {
    case imported
    /// The image was there already.
    case existed
    /// It is no image, or one that is refused, or its name is something else's.
    case invalid
    /// It does not fit.
    case noSpace = "no_space"
    case cancelled
    case failed

    public static let labelName = "result"
}

public enum ImageRemovalCause: String, MetricLabel {
    case removed, pruned, evicted

    public static let labelName = "cause"
}

/// Whose a place in the node's networks is.
public enum NetworkSlotLabel: String, MetricLabel {
    case used
    /// Made ahead.
    case ready
    /// How many are to be ready.
    case target

    public static let labelName = "slots"
}

/// Why a packet was dropped.
public enum NetworkDropReason: String, MetricLabel {
    case falseSource = "false_source"
    case falseNeighbour = "false_neighbour"
    case otherSandbox = "other_sandbox"
    case tunnel
    case refusedPrefix = "refused_prefix"
    case notAllowed = "not_allowed"
    case router
    case node
    case strangers

    public static let labelName = "reason"
}

/// Whether a proxy answers.
public enum NetworkProxyLabel: String, MetricLabel {
    case alive
    case silent

    public static let labelName = "state"
}
