internal import LinuxKernel

StandardStream.openMissing()
ThisProcess.expectChildren()
AlcoveProgram.run(Array(CommandLine.arguments.dropFirst()))
