package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBatchFile runs a batch file with arguments in which cmd.exe sees more than text. Each arrives as it is, and starts nothing, or
// is refused by name.
func TestBatchFile(t *testing.T) {
	dir := filepath.Join(TempDir(t), "with blank & more")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	batch := filepath.Join(dir, "npm.CMD")
	// As npm.cmd and its like do, it hands all arguments on to a program.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := "@echo off\r\n\"" + self + "\" -test.run=^^^^TestArguments$ -- %*\r\n"
	if err := os.WriteFile(batch, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		reason, argument string
		refused          bool
	}{
		{"a word", "install", false},
		{"nothing", "", false},
		{"a blank", "a b", false},
		{"another command", "x&echo injected", false},
		{"a pipe", "x|more", false},
		{"a redirection", "x>y<z", false},
		{"brackets", "(x)", false},
		{"npm's way to write a version", "foo@^1.2.3", false},
		{"a version and a comma; cmd.exe splits at them", "a,b;c=d", false},
		{"a backslash at the end, before the quote", `C:\Program Files\`, false},
		{"two", `a\\`, false},
		{"backslashes within", `a\b\\c`, false},
		{"letters that are not ASCII", "Jörg-日本", false},
		{"a variable", "%PATH%", true},
		{"a percent sign", "100%", true},
		{"a quote", `a"&echo injected`, true},
		{"only a quote", `"`, true},
		{"a variable of delayed expansion", "!PATH!", true},
		{"a line's end", "a\r\necho injected", true},
		{"a line feed", "a\nb", true},
		{"NUL", "a\x00b", true},
	} {
		cmd, err := Command(batch, "first", row.argument)
		if row.refused {
			refused, ok := errors.AsType[*argumentError](err)
			if !ok || refused.argument != row.argument || !strings.Contains(err.Error(), "npm.CMD") {
				t.Errorf("%s: %v", row.reason, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		cmd.Env = append(os.Environ(), "PLATFORM_TEST_ARGUMENTS=1")
		out, err := cmd.CombinedOutput()
		if got := strings.ReplaceAll(string(out), "\r", ""); err != nil || got != "[first]["+row.argument+"]\n" {
			t.Errorf("%s: it got %q, %v; the command was %s", row.reason, got, err, cmd.SysProcAttr.CmdLine)
		}
	}
	if cmd, err := Command(self, `a"b`, "%PATH%"); err != nil || cmd.SysProcAttr != nil {
		t.Errorf("a program is no batch file: %v", err)
	}
}

// TestArguments is the program that the batch file of TestBatchFile runs.
func TestArguments(t *testing.T) {
	if os.Getenv("PLATFORM_TEST_ARGUMENTS") == "" {
		return
	}
	line := ""
	for i, arg := range os.Args {
		if arg == "--" {
			for _, rest := range os.Args[i+1:] {
				line += "[" + rest + "]"
			}
			break
		}
	}
	os.Stdout.WriteString(line + "\n")
	os.Exit(0)
}
