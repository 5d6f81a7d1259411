package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"unicode"
)

// claims tells the area of every test that these files declare: its file's name.
func claims(folder string, files []string) (map[string]string, error) {
	areas := make(map[string]string)
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, file), nil, 0)
		if err != nil {
			return nil, err
		}
		area := strings.TrimSuffix(strings.TrimSuffix(file, "_test.go"), "_newest")
		for _, part := range tree.Decls {
			function, ok := part.(*ast.FuncDecl)
			if ok && strings.HasPrefix(function.Name.Name, "Test") && function.Name.Name != "TestMain" {
				areas[function.Name.Name] = strings.ReplaceAll(area, "_", " ")
			}
		}
	}
	return areas, nil
}

// sentence is a name as words: `TestALabelIsKept/for_ever` is "a label is kept: for ever".
func sentence(name string) string {
	function, rest, nested := strings.Cut(strings.TrimPrefix(name, "Test"), "/")
	var words strings.Builder
	number := false
	for place, letter := range function {
		if place > 0 && (unicode.IsUpper(letter) || unicode.IsDigit(letter) && !number) {
			words.WriteByte(' ')
		}
		number = unicode.IsDigit(letter)
		words.WriteRune(unicode.ToLower(letter))
	}
	if nested {
		words.WriteString(": " + strings.ReplaceAll(rest, "_", " "))
	}
	return words.String()
}
