//go:build unix

package platform

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReaderGone(t *testing.T) {
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
	short, cancel := context.WithTimeout(t.Context(), 2*lookAgain)
	defer cancel()
	for _, f := range []*os.File{w, file} {
		if ReaderGone(short, f) {
			t.Errorf("%s: there is a reader, or none is needed", f.Name())
		}
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
