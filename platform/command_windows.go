package platform

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

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

// argumentError means that a batch file cannot be given an argument as it is.
type argumentError struct {
	program  string
	argument string
	char     rune // what cmd.exe would take for its own
}

func (e *argumentError) Error() string {
	return fmt.Sprintf("%s is a batch file, and cmd.exe would change the %q in its argument %q", filepath.Base(e.program), e.char, e.argument)
}

// isBatch reports whether Windows runs a file with cmd.exe.
func isBatch(program string) bool {
	name := strings.ToLower(strings.TrimRight(program, ". "))
	return strings.HasSuffix(name, ".bat") || strings.HasSuffix(name, ".cmd")
}

// batchLine returns the command line for cmd.exe that runs a batch file. Each argument is in quotes, where cmd.exe leaves all
// characters as they are but quotes and percent signs, which it expands also there, and the ends of lines, at which it stops. These
// are refused, and so is an exclamation mark, which a batch file with delayed expansion takes for a variable. Backslashes before
// the last quote are doubled, for the program to which the batch file hands the argument on.
func batchLine(shell, program string, args []string) (string, error) {
	if !filepath.IsAbs(program) && !strings.Contains(program, `\`) {
		return "", errors.New("a batch file is called by its path")
	}
	line := `"` + shell + `" /d /e:on /v:off /s /c "`
	for i, arg := range append([]string{program}, args...) {
		if at := strings.IndexFunc(arg, unsafeInBatch); at >= 0 {
			return "", &argumentError{program, arg, []rune(arg[at:])[0]}
		}
		if i > 0 {
			line += " "
		}
		ends := len(arg) - len(strings.TrimRight(arg, `\`))
		line += `"` + arg + strings.Repeat(`\`, ends) + `"`
	}
	return line + `"`, nil
}

func unsafeInBatch(r rune) bool { return strings.ContainsRune(`"%!`, r) || unicode.IsControl(r) }
