package config

import "github.com/pelletier/go-toml/v2/unstable"

// definitions detects duplicate definitions in a file, by the rules of TOML 1.0 (Keys, Table, Inline Table). It exists
// because the decoder's own check compares each key with all others: 9,000 profiles took seconds.
type definitions struct {
	ids   map[definition]int
	forms []form // by id
	table int    // the id of the table that the last header opened
}

// definition is a name in the table with the id parent.
type definition struct {
	parent int
	name   string
}

// root is the id of the file's own table.
const root = 0

// form is how a name was defined, which decides how it may be extended.
type form uint8

const (
	byHeader    form = iota // [name]
	byTable                 // a step on the way to [name.table], which may have a header of its own
	byDottedKey             // name.key = value
	byValue                 // name = value, also where the value is an inline table
)

// newDefinitions returns definitions with room for what a file of that size usually defines.
func newDefinitions(size int) *definitions {
	const each = 24 // bytes
	return &definitions{ids: make(map[definition]int, size/each), forms: append(make([]form, 0, size/each+1), byHeader)}
}

func (d *definitions) add(at definition, f form) int {
	id := len(d.forms)
	d.ids[at] = id
	d.forms = append(d.forms, f)
	return id
}

// allow adds what an expression defines and reports whether TOML allows it. It ignores [[name]], since no setting is
// written so.
func (d *definitions) allow(e *unstable.Node) bool {
	switch e.Kind {
	case unstable.Table:
		return d.header(e)
	case unstable.KeyValue:
		return d.keyValue(d.table, e)
	}
	return true
}

// header opens the table that a header names.
func (d *definitions) header(e *unstable.Node) bool {
	parent := root
	for key := e.Key(); key.Next(); {
		last := key.IsLast()
		at := definition{parent, string(key.Node().Data)}
		id, known := d.ids[at]
		switch {
		case !known && last:
			id = d.add(at, byHeader)
		case !known:
			id = d.add(at, byTable)
		case last && d.forms[id] == byTable:
			d.forms[id] = byHeader
		case last, d.forms[id] == byValue:
			return false
		}
		parent = id
	}
	d.table = parent
	return true
}

// keyValue defines a key, and those of an inline table, in the table with the id parent. It ignores inline tables in
// lists, since no setting has them.
func (d *definitions) keyValue(parent int, e *unstable.Node) bool {
	for key := e.Key(); key.Next(); {
		last := key.IsLast()
		at := definition{parent, string(key.Node().Data)}
		id, known := d.ids[at]
		switch {
		case !known && last:
			id = d.add(at, byValue)
		case !known:
			id = d.add(at, byDottedKey)
		case last, d.forms[id] != byDottedKey:
			return false
		}
		parent = id
	}
	if value := e.Value(); value.Kind == unstable.InlineTable {
		for children := value.Children(); children.Next(); {
			if !d.keyValue(parent, children.Node()) {
				return false
			}
		}
	}
	return true
}
