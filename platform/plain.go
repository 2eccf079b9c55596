package platform

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ReadPlain reads a plain file of at most limit bytes; links are followed, and a missing file is nil without an error. It
// never waits for another process, as a read of a named pipe would.
func ReadPlain(file string, limit int64) ([]byte, error) {
	f, err := openAtOnce(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a plain file")
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return text, err
}

// IsPlain reports whether a path leads to a plain file.
func IsPlain(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
