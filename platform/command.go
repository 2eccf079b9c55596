package platform

import (
	"context"
	"os/exec"
)

// Command is [exec.Command] for arguments from elsewhere. On Windows a batch file, such as npm.cmd, is run by cmd.exe, which
// takes its command line apart in another way than programs do and os/exec does not quote for: its arguments are quoted here, and
// one that cannot be is an error.
func Command(program string, args ...string) (*exec.Cmd, error) {
	return CommandContext(context.Background(), program, args...)
}

// CommandContext is Command with a context, whose end kills the program.
func CommandContext(ctx context.Context, program string, args ...string) (*exec.Cmd, error) {
	return commandContext(ctx, program, args)
}
