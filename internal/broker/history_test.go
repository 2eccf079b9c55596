package broker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func entryAt(n int) Entry {
	return Entry{At: time.Date(2026, 11, 28, 12, 0, n, 0, time.UTC), Tool: "git", Host: "git.acme.dev", Profile: "acme", Outcome: GaveKeychain, Token: "0123abcd"}
}

// TestHistoryLine: a line is JSON that encoding/json reads back, whatever stands in it, in one line that is harmless for a terminal.
func TestHistoryLine(t *testing.T) {
	plain := entryAt(0)
	plain.Program = "git"
	if want, err := json.Marshal(plain); err != nil || string(plain.Line()) != string(want)+"\n" {
		t.Errorf("%s, not %s", plain.Line(), want)
	}
	for _, foreign := range []string{"", "a b", `a"b\c`, "a\nb", "a\x1b[2Jb", "\x00", "ä", "\u202eevil", "\xff\xfe", "</script>", strings.Repeat("x", 10_000), strings.Repeat("é", 5_000)} {
		e := entryAt(1)
		e.Program, e.Host = foreign, foreign
		line := e.Line()
		var got Entry
		if err := json.Unmarshal(line, &got); err != nil || got.At != e.At || got.Profile != "acme" || got.Token != e.Token {
			t.Errorf("%.40q: %s: %v", foreign, line, err)
		}
		if n := strings.Count(string(line), "\n"); n != 1 || len(line) > 4_000 || strings.ContainsAny(string(line), "\x1b\x00\r") {
			t.Errorf("%.40q: %d line ends and %d bytes: %.100q", foreign, n, len(line), line)
		}
	}
}

// TestHistoryBound: the files have about twice Most bytes together, and lose the oldest entries only.
func TestHistoryBound(t *testing.T) {
	h := History{Dir: filepath.Join(t.TempDir(), "history"), Most: 2_000}
	for i := range 200 {
		h.Add(entryAt(i))
		older, present := h.files()
		for _, file := range []string{older, present} {
			info, err := os.Stat(file)
			if err == nil && (info.Size() > h.Most+int64(len(entryAt(i).Line()))+100 || info.Mode().Perm()&0o077 != 0 && !isWindows()) {
				t.Fatalf("%s has %d bytes, mode %v", file, info.Size(), info.Mode())
			}
		}
	}
	entries, err := h.Read(time.Time{})
	if err != nil || len(entries) < 15 || entries[len(entries)-1].At != entryAt(199).At {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries[1:] {
		if e.At.Sub(entries[i].At) != time.Second {
			t.Errorf("an entry is missing before %v", e.At)
		}
	}
	since := entryAt(195).At
	if late, err := h.Read(since); err != nil || len(late) != 5 || late[0].At != since {
		t.Errorf("since: %v, %v", late, err)
	}
}

// TestHistoryAtOnce: many writers in many processes' places lose nothing but what the bound takes.
func TestHistoryAtOnce(t *testing.T) {
	h := HistoryIn(t.TempDir())
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for range 50 {
				h.Add(entryAt(i))
			}
		})
	}
	all.Wait()
	if entries, err := h.Read(time.Time{}); err != nil || len(entries) != 1000 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

// TestHistoryPlaces: where no entry can be written nothing else is changed either, and no call fails for it.
func TestHistoryPlaces(t *testing.T) {
	for _, row := range []struct {
		reason  string
		make    func(t *testing.T, h History, file string)
		written bool
	}{
		{"there is none", func(*testing.T, History, string) {}, true},
		{"ours", func(_ *testing.T, h History, _ string) { h.Add(entryAt(0)) }, true},
		{"a line that was cut off", func(t *testing.T, h History, file string) { h.Add(entryAt(0)); appendText(t, file, `{"at":"2026`+"\n") }, true},
		{"a link in the place of the file", func(t *testing.T, h History, file string) { mkdirPrivate(t, h.Dir); link(t, file+".elsewhere", file) }, false},
		{"a link in the place of the folder", func(t *testing.T, h History, _ string) { mkdirPrivate(t, h.Dir+"-real"); link(t, h.Dir+"-real", h.Dir) }, false},
		{"a folder in the place of the file", func(t *testing.T, h History, file string) { mkdirPrivate(t, file) }, false},
		{"a file in the place of the folder", func(t *testing.T, h History, _ string) { appendText(t, h.Dir, "") }, false},
		{"a file that others can read", func(t *testing.T, h History, file string) {
			mkdirPrivate(t, h.Dir)
			appendText(t, file, "")
			if err := os.Chmod(file, 0o644); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a folder that is read-only", func(t *testing.T, h History, _ string) {
			if os.Getuid() == 0 {
				t.Skip("root may write everywhere")
			}
			mkdirPrivate(t, h.Dir)
			if err := os.Chmod(h.Dir, 0o500); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			if isWindows() {
				t.Skip("Windows has neither these modes nor links for everybody")
			}
			h := HistoryIn(t.TempDir())
			_, file := h.files()
			row.make(t, h, file)
			before, _ := h.Read(time.Time{})
			h.Add(entryAt(1))
			after, err := h.Read(time.Time{})
			if row.written != (len(after) == len(before)+1) || row.written && err != nil {
				t.Errorf("%d entries, then %d, %v", len(before), len(after), err)
			}
			if err := h.Check(); (err == nil) != row.written {
				t.Errorf("check: %v", err)
			}
			if _, err := os.Lstat(file + ".elsewhere"); err == nil {
				t.Error("a link was followed")
			}
		})
	}
}

// isWindows tells by the path's form: build tags belong to platform.
func isWindows() bool { return os.PathSeparator == '\\' }

func mkdirPrivate(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func appendText(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
