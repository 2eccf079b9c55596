// Package setup makes the profiles of this user's own configuration: from the answers of a person, from flags, and from the
// file that a company publishes for its people.
//
// Answers, values and the company's file come in; a change to the configuration goes out, checked as if it had been read from
// the file already. The caller shows it, asks, and writes it: see toolconfig.Apply. The package never replaces a profile,
// never writes, and signs nobody in. What a company's file asks for beyond its own domain is never taken without a yes of
// the person.
package setup

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// fileLimit bounds a configuration file, in bytes; config.Parse takes no more.
const fileLimit = 1 << 20

// Setup is what a profile is made with. All fields are required.
type Setup struct {
	Console *console.Console
	// File returns the path of this user's own configuration file.
	File func() (string, error)
	// Config returns the configuration in force, of files that read returns.
	Config func(read func(file string, limit int64) ([]byte, error)) (*config.Config, error)
	// Probe makes the requests that a sign-in to a profile makes before it involves the user.
	Probe func(ctx context.Context, p *config.Profile) error
}

// Draft is a change to the configuration that is not written yet.
type Draft struct {
	Edit    toolconfig.Edit
	Config  *config.Config // as it is with the change
	Names   []string       // of the profiles that are added
	Reached bool           // whether people can sign in to them now
	Fresh   bool           // whether there is no file yet
}

// own reads the file that a profile is added to. It is an error if a profile in it could not be trusted.
func (s *Setup) own(dryRun bool) (file string, text []byte, err error) {
	if file, err = s.File(); err != nil {
		return "", nil, err
	}
	if err := toolconfig.CheckPlace(file); err != nil && !dryRun {
		return "", nil, err
	}
	text, err = platform.ReadTrusted(file, fileLimit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, &config.Error{Err: err}
	}
	if _, err := config.Parse(file, text); err != nil {
		return "", nil, &config.Error{Err: err}
	}
	return file, text, nil
}

// draft returns the change that adds lines, which are whole profiles, at the end of the file.
func (s *Setup) draft(file string, text []byte, lines []string) (*Draft, error) {
	if lines != nil && len(bytes.TrimSpace(text)) > 0 {
		lines = append([]string{""}, lines...)
	}
	change := func(text []byte) ([]byte, error) {
		if lines == nil {
			return text, nil
		}
		fresh := toolconfig.AppendLines(text, lines)
		_, err := config.Parse(file, fresh)
		return fresh, err
	}
	fresh, err := change(text)
	if err != nil {
		return nil, &config.Error{Err: err}
	}
	cfg, err := s.Config(func(name string, limit int64) ([]byte, error) {
		if name, err := filepath.Abs(name); err == nil && name == file {
			return fresh, nil
		}
		return platform.ReadTrusted(name, limit)
	})
	if err != nil {
		return nil, err
	}
	return &Draft{Edit: toolconfig.Edit{File: file, Change: change}, Config: cfg, Reached: true, Fresh: text == nil}, nil
}
