package platform

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestPathsOfVariables: what a variable that names a file may be. A relative one is refused before it comes here (see
// config.PathVariable), by filepath.IsAbs.
func TestPathsOfVariables(t *testing.T) {
	dir := TempDir(t)
	file := filepath.Join(dir, "config.toml")
	long := filepath.Join(dir, strings.Repeat("long", 30), strings.Repeat("path", 30), strings.Repeat("more", 30), "config.toml")
	if err := os.MkdirAll(filepath.Dir(long), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, long} {
		if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	volume, rest := filepath.VolumeName(file), file[len(filepath.VolumeName(file)):]
	for _, row := range []struct {
		reason, path   string
		absolute, read bool
	}{
		{"a path with its drive", file, true, true},
		{"with slashes, as MSYS writes it", filepath.ToSlash(file), true, true},
		{"the drive in lower case", strings.ToLower(volume) + rest, true, true},
		{"with . and ..", filepath.Join(dir, "x") + `\..\.\config.toml`, true, true},
		{"more than 260 characters", long, true, true},
		{"a long path", `\\?\` + file, true, true},
		{"a long path of more than 260 characters", `\\?\` + long, true, true},
		{"a share that is not there", `\\localhost\missing\config.toml`, true, false},
		{"a device", `\\.\NUL`, true, false},
		{"a device by name", dir + `\NUL`, true, false},
		{"a folder", dir, true, false},
		{"relative to the drive's current folder", volume + "config.toml", false, false},
		{"relative to the drive", rest, false, false},
		{"relative", "config.toml", false, false},
		{"relative, upwards", `..\config.toml`, false, false},
		{"a variable, which no shell has replaced", `%APPDATA%\config.toml`, false, false},
		{"a home, which no shell has replaced", `~\config.toml`, false, false},
		{"a drive alone", volume, false, false},
		{"Cygwin's way to write it", "/c/config.toml", false, false},
	} {
		if got := filepath.IsAbs(row.path); got != row.absolute {
			t.Errorf("%s: %s is absolute: %v", row.reason, row.path, got)
		}
		text, err := ReadTrusted(row.path, 100)
		if read := err == nil && string(text) == "content"; read != row.read {
			t.Errorf("%s: %s: %q, %v", row.reason, row.path, text, err)
		}
	}
}

// TestBrowserVariable: what BROWSER may be on Windows.
func TestBrowserVariable(t *testing.T) {
	dir := TempDir(t)
	blank := filepath.Join(dir, "my browser.exe")
	if err := os.WriteFile(blank, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		reason, browser string
		want            [][]string
	}{
		{"not set", "", nil},
		{"a path", `C:\b\firefox.exe`, [][]string{{`C:\b\firefox.exe`}}},
		{"a path with blanks, which is there", blank, [][]string{{blank}}},
		{"quoted, with arguments", `"` + blank + `" -P work %s`, [][]string{{blank, "-P", "work", "%s"}}},
		{"two, and none after them", `firefox;C:\b\edge.exe;false`, [][]string{{"firefox"}, {`C:\b\edge.exe`}, {"false"}}},
		{"nothing but separators", ";;", nil},
	} {
		if got := BrowserCommands(row.browser); fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
	}
	err := OpenBrowser(t.Context(), "http://127.0.0.1:8080/start/x", func(name string) string {
		return map[string]string{"BROWSER": OnlyBrowser(filepath.Join(dir, "missing.exe"))}[name]
	}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "missing.exe") {
		t.Errorf("another browser was started: %v", err)
	}
}

// TestTraceLines: 50 processes write at once, and each line is whole.
func TestTraceLines(t *testing.T) {
	file := os.Getenv("PLATFORM_TEST_TRACE")
	const lines = 20
	if file != "" {
		f, err := AppendFile(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for n := range lines {
			if err := AppendWhole(f, fmt.Appendf(nil, "begin %d %d %s end\n", os.Getpid(), n, strings.Repeat("x", 200))); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	file = filepath.Join(TempDir(t), "trace")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const writers = 50
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			cmd := exec.Command(self, "-test.run=^TestTraceLines$")
			cmd.Env = append(os.Environ(), "PLATFORM_TEST_TRACE="+file)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for _, line := range got {
		if !bytes.HasPrefix(line, []byte("begin ")) || !bytes.HasSuffix(line, []byte(" end")) || bytes.Count(line, []byte("begin")) != 1 {
			t.Errorf("a torn line: %q", line)
		}
	}
	if len(got) != writers*lines {
		t.Errorf("%d lines, want %d", len(got), writers*lines)
	}
}

// TestFileInUse: a file that another process has open is removed as soon as that is possible.
func TestFileInUse(t *testing.T) {
	dir := TempDir(t)
	file := filepath.Join(dir, "file")
	f, err := os.Create(file) // without the right to delete it
	if err != nil {
		t.Fatal(err)
	}
	if err := Remove(file); err == nil {
		t.Log("this system removes a file that is open")
	} else if err := RemoveAll(dir); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("what is left is not told: %v", err)
	}
	f.Close()
	if err := Remove(file); err != nil {
		t.Errorf("it is closed: %v", err)
	}
}
