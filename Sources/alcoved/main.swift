internal import Console
internal import LinuxKernel

StandardStream.openMissing()
ThisProcess.expectChildren()
// Commands and clients end before what is written to them.
ThisProcess.ignoreBrokenPipes()
// Each sandbox has several descriptors; it sets its own limit.
ThisProcess.raiseOpenFileLimit()
Daemon.run(Array(CommandLine.arguments.dropFirst()))
