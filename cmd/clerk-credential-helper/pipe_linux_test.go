package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/platform"
)

// namedPipe makes one at whose other end nobody is.
func namedPipe(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// soon fails where a call waits for somebody who does not come.
func soon(t *testing.T, call func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		call()
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the other end of a named pipe")
	}
}

// TestFileOfToolIsPipe: some programs serve files such as .git-credentials through named pipes. Doctor and setup, which
// look at them, pass them over instead of waiting.
func TestFileOfToolIsPipe(t *testing.T) {
	file := namedPipe(t)
	soon(t, func() {
		if text, err := platform.ReadPlain(file, configLimit); err == nil || !strings.Contains(err.Error(), "not a plain file") {
			t.Errorf("read %q, %v", text, err)
		}
	})
}

// TestTraceIsPipe: a trace that nobody reads keeps no tool from its answer.
func TestTraceIsPipe(t *testing.T) {
	file := namedPipe(t)
	var words strings.Builder
	sys := &system{stderr: &words, getenv: func(name string) string {
		if name == "CLERK_HELPER_TRACE" {
			return file
		}
		return ""
	}}
	soon(t, func() {
		if sys.console().Tracer(sys.getenv("CLERK_HELPER_TRACE")) != nil || !strings.Contains(words.String(), "opening the trace") {
			t.Errorf("there is a trace that nobody reads; said %q", words.String())
		}
	})
	reader, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	soon(t, func() {
		trace := sys.console().Tracer(sys.getenv("CLERK_HELPER_TRACE"))
		if trace == nil {
			t.Error("there is none for a reader")
			return
		}
		trace("a %s", "word")
	})
	text := make([]byte, 200)
	if n, err := reader.Read(text); err != nil || !strings.Contains(string(text[:n]), "a word") {
		t.Errorf("the reader got %q, %v", text[:n], err)
	}
}
