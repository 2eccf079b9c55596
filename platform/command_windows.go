package platform

import (
	"context"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

func commandContext(ctx context.Context, program string, args []string) (*exec.Cmd, error) {
	if !isBatch(program) {
		return exec.CommandContext(ctx, program, args...), nil
	}
	system, err := windows.GetSystemDirectory()
	if err != nil {
		return nil, err
	}
	shell := filepath.Join(system, "cmd.exe")
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	line, err := batchLine(shell, program, args)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, shell)
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: line}
	return cmd, nil
}
