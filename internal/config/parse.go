package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile, in bytes, is far more than a company's hosts need.
const maxFile = 1 << 20

// Parse parses a TOML file, at most 1 MiB, into profiles in the file's order. The name is for messages: an error begins with
// FILE:LINE:COLUMN, or with FILE if it is about the whole, and says what to write instead. Unknown keys are errors. An empty file has no profiles.
func Parse(file string, data []byte) (*Config, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: the file is larger than 1 MiB: is it the right one?", file)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows' Notepad writes it.
	if len(data) > 0 && len(bytes.Trim(data, "\x00")) == 0 {
		return nil, fmt.Errorf("%s: the file is nothing but zeros, as a full disk or a power cut leaves it: write it again", file)
	}
	if isUTF16(data) {
		return nil, fmt.Errorf("%s: the file is UTF-16, as Windows PowerShell writes it: save it as UTF-8", file)
	}
	r := reader{file: file, data: data, line: 1, defined: newDefinitions(len(data)), byName: make(map[string]*draft)}
	r.parser.Reset(data)
	if err := r.read(); err != nil {
		if syntax := syntaxError(file, data); syntax != nil {
			err = syntax
		}
		return nil, err
	}
	c := &Config{DockerFallback: r.dockerFallback, Policy: r.policy, History: r.history, historyAt: r.historyAt}
	for _, d := range r.drafts {
		if err := d.complete(); err != nil {
			return nil, err
		}
		c.Profiles = append(c.Profiles, d.Profile)
	}
	return c, nil
}

// isUTF16 reports whether a text is in UTF-16, by its byte order mark, or by the half of its first letter that is 0.
func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.IndexByte(data[:min(len(data), 2)], 0) >= 0
}

// syntaxError returns the first error in a file that is not valid TOML, or nil. It uses the decoder, which has the messages
// but takes a time that grows with the square of the file, so it is for a file that was refused.
func syntaxError(file string, data []byte) error {
	var decoded map[string]any
	err := toml.Unmarshal(data, &decoded)
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := syntax.Position()
		return fmt.Errorf("%s: %w", position{file, line, column}, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// reader walks over the expressions of a file. It accepts no file that the decoder would refuse; where it returns an
// error, that of syntaxError takes precedence.
type reader struct {
	file    string
	data    []byte
	parser  unstable.Parser
	defined *definitions
	drafts  []*draft
	byName  map[string]*draft

	dockerFallback string
	policy         *Policy
	history        *bool
	historyAt      position

	// The last result of at. Positions are needed only in the order of the file, so at counts on from there.
	offset, line, lineStart int
}

// part is one part of a dotted key.
type part struct {
	name   string
	offset int
}

func (r *reader) read() error {
	var table, path []part // used again for each expression
	for r.parser.NextExpression() {
		e := r.parser.Expression()
		if !r.defined.allow(e) {
			return fmt.Errorf("%s: a name is defined twice", r.file) // the decoder says which, and where
		}
		var err error
		switch e.Kind {
		case unstable.Table:
			table = appendKey(table[:0], e.Key())
			err = r.table(table)
		case unstable.ArrayTable:
			first := appendKey(nil, e.Key())[0]
			if err = r.stray(first); err == nil {
				err = fmt.Errorf("%s: a profile is written in single brackets: [profiles.NAME]", r.at(first.offset))
			}
		case unstable.KeyValue:
			path = appendKey(append(path[:0], table...), e.Key())
			err = r.assign(path, e.Value())
		}
		if err != nil {
			return err
		}
	}
	if err := r.parser.Error(); err != nil {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return nil
}

func appendKey(path []part, key unstable.Iterator) []part {
	for key.Next() {
		n := key.Node()
		path = append(path, part{string(n.Data), int(n.Raw.Offset)})
	}
	return path
}

// table opens the table of that path.
func (r *reader) table(path []part) error {
	if err := r.stray(path[0]); err != nil {
		return err
	}
	if path[0].name == historyKey {
		return fmt.Errorf("%s: history is true or false, and no table", r.at(path[0].offset))
	}
	if path[0].name == policyTable && r.policy == nil {
		at := r.at(path[0].offset)
		r.policy = newPolicy(r.file + ":" + strconv.Itoa(at.line))
	}
	if len(path) == 1 {
		return nil
	}
	if path[0].name == dockerTable || path[0].name == policyTable {
		return fmt.Errorf("%s: unknown table %.40q in [%s]", r.at(path[1].offset), path[1].name, path[0].name)
	}
	if len(path) > 2 {
		return fmt.Errorf("%s: unknown table %.40q in profile %q", r.at(path[2].offset), path[2].name, path[1].name)
	}
	_, err := r.draft(path[1])
	return err
}

// The names at the top that are not about profiles.
const (
	dockerTable = "docker"
	policyTable = "policy"
	historyKey  = "history"
)

// stray returns an error for a name at the top that is no table of ours.
func (r *reader) stray(p part) error {
	top := []string{"profiles", dockerTable, policyTable, historyKey}
	if slices.Contains(top, p.name) {
		return nil
	}
	if slices.Contains(keys(), p.name) {
		return fmt.Errorf("%s: %s stands outside of a profile: write it below [profiles.NAME]", r.at(p.offset), p.name)
	}
	return fmt.Errorf("%s: unknown key %.40q%s", r.at(p.offset), p.name, didYouMean(p.name, top))
}

// assign stores one value in the profile that its path names. An inline table is another spelling of paths.
func (r *reader) assign(path []part, v *unstable.Node) error {
	if err := r.stray(path[0]); err != nil {
		return err
	}
	if path[0].name == dockerTable && len(path) > 1 {
		return r.assignDocker(path[1:], v)
	}
	if path[0].name == policyTable && len(path) > 1 {
		return r.assignPolicy(path, v)
	}
	if path[0].name == historyKey && len(path) == 1 && v.Kind != unstable.InlineTable {
		value := r.value(path[0], v)
		r.history, r.historyAt = new(bool), value.at
		if err := value.flag(r.history); err != nil {
			return fmt.Errorf("%s: history: %w", value.at, err)
		}
		return nil
	}
	if len(path) < 3 {
		last := path[len(path)-1]
		if v.Kind != unstable.InlineTable {
			return fmt.Errorf("%s: %.40q is not a profile: write settings below [profiles.NAME]", r.at(last.offset), last.name)
		}
		if err := r.table(path); err != nil {
			return err
		}
		for children := v.Children(); children.Next(); {
			kv := children.Node()
			if err := r.assign(appendKey(slices.Clip(path), kv.Key()), kv.Value()); err != nil {
				return err
			}
		}
		return nil
	}
	d, err := r.draft(path[1])
	if err != nil {
		return err
	}
	key := path[2]
	if len(path) > 3 {
		var names []string
		for _, p := range path[2:] {
			names = append(names, p.name)
		}
		key.name = strings.Join(names, ".")
	}
	if !slices.Contains(keys(), key.name) {
		return fmt.Errorf("%s: unknown key %.40q%s", r.at(key.offset), key.name, didYouMean(key.name, keys()))
	}
	return d.set(key.name, r.value(key, v))
}

// assignDocker stores a setting of [docker], which has only one.
func (r *reader) assignDocker(path []part, n *unstable.Node) error {
	key := path[0]
	if key.name != "fallback" || len(path) > 1 {
		return fmt.Errorf("%s: unknown key %.40q in [docker]%s", r.at(key.offset), key.name, didYouMean(key.name, []string{"fallback"}))
	}
	v := r.value(key, n)
	if err := parseText(v, &r.dockerFallback, parseFallback); err != nil {
		return fmt.Errorf("%s: fallback: %w", v.at, err)
	}
	return nil
}

// assignPolicy stores a setting of [policy].
func (r *reader) assignPolicy(path []part, n *unstable.Node) error {
	if err := r.table(path[:1]); err != nil { // policy.key = value opens it as well
		return err
	}
	key := path[1]
	if !slices.Contains(policyKeys(), key.name) || len(path) > 2 {
		return fmt.Errorf("%s: unknown key %.40q in [policy]%s", r.at(key.offset), key.name, didYouMean(key.name, policyKeys()))
	}
	return r.policy.set(key.name, r.value(key, n))
}

// draft returns the profile of that name, a new one if it is the first mention.
func (r *reader) draft(name part) (*draft, error) {
	if d := r.byName[name.name]; d != nil {
		return d, nil
	}
	at := r.at(name.offset)
	d, err := newDraft(name.name, at, r.file+":"+strconv.Itoa(at.line))
	if err != nil {
		return nil, err
	}
	r.byName[name.name] = d
	r.drafts = append(r.drafts, d)
	return d, nil
}

// value converts a node. An array with anything but text is of the kind other. The node of an array has no position.
func (r *reader) value(key part, n *unstable.Node) value {
	v := value{at: r.at(key.offset)}
	switch n.Kind {
	case unstable.String:
		v.kind, v.text, v.at = text, string(n.Data), r.at(int(n.Raw.Offset))
	case unstable.Bool:
		v.kind, v.text = flag, string(n.Data)
	case unstable.Array:
		v.kind = list
		for children := n.Children(); children.Next(); {
			child := children.Node()
			if child.Kind != unstable.String {
				v.kind = other
				return v
			}
			v.list = append(v.list, item{string(child.Data), r.at(int(child.Raw.Offset))})
		}
	}
	return v
}

// at returns the position of an offset in the file, which must not be before the previous one.
func (r *reader) at(offset int) position {
	for i := r.offset; i < offset; i++ {
		if r.data[i] == '\n' {
			r.line++
			r.lineStart = i + 1
		}
	}
	r.offset = offset
	return position{r.file, r.line, offset - r.lineStart + 1}
}
