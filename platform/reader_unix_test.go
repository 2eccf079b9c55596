//go:build unix

package platform

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReaderGone(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	socket := os.NewFile(uintptr(pair[1]), "socket")
	defer socket.Close()
	if err := unix.Shutdown(pair[0], unix.SHUT_WR); err != nil { // it has asked, and waits for the answer
		t.Fatal(err)
	}
	for _, f := range []*os.File{w, file, socket} {
		short, cancel := context.WithTimeout(t.Context(), 2*lookAgain)
		if ReaderGone(short, f) {
			t.Errorf("%s: there is a reader, or none is needed", f.Name())
		}
		cancel()
	}
	gone := make(chan bool)
	go func() { gone <- ReaderGone(t.Context(), w) }()
	r.Close()
	select {
	case got := <-gone:
		if !got {
			t.Error("the reader is said to be there")
		}
	case <-time.After(10 * time.Second):
		t.Error("that the reader has gone is not told")
	}
}
