// Package strictyaml reads declarations that people write by hand, and refuses what they cannot
// have meant: a key that does not exist, a key given twice, a second document, an anchor, a merge.
//
// Every finding names its line and quotes it; an unknown key also the nearest key that exists at
// that place. All unknown keys are reported at once. What has no key in the file keeps the value it
// had: callers decode over their defaults.
//
//	doc, err := strictyaml.Decode(source, &config)
//	doc.Line("replicas[1].stream") // where a later check's finding stands in the file
//
// The package does not read files, and does not know what values make sense.
package strictyaml
