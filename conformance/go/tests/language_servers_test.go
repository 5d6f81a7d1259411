package tests

// Completions and symbols. A sandbox of this SDK has no language servers; they are made beside it,
// from its toolbox client.

import (
	"strings"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

// Both end with `greeter.` in line 8, counted from 0: this SDK sends line and character in each
// other's place, so its completions can be asked for only where both are the same.
const (
	pythonGreeter = `class Greeter:
    def greet(self, name):
        return name.upper()




greeter = Greeter()
greeter.
`
	typeScriptGreeter = `export class Greeter {
  greet(name: string): string { return name.toUpperCase() }
}




const greeter = new Greeter()
greeter.
`
)

var behindThePoint = types.Position{Line: 8, Character: len("greeter.")}

var languageBox = Shared(types.SandboxBaseParams{})

// A symbol as it comes; the SDK hands it on without a type.
type symbol struct {
	Name     string
	Location struct {
		URI   string
		Range struct{ Start struct{ Line int } }
	}
}

// A project with one unfinished file, a server for it that is not started, and the file's path.
func project(t *testing.T, language types.LspLanguageID) (*daytona.LspServerService, string) {
	t.Helper()
	sandbox := languageBox(t)
	root := "/home/daytona/" + Unique(string(language))
	name, text := "main.py", pythonGreeter
	if language == types.LspLanguageTypeScript {
		name, text = "main.ts", typeScriptGreeter
	}
	Ok(t, sandbox.FileSystem.CreateFolder(Context(t), root))
	Ok(t, sandbox.FileSystem.UploadFile(Context(t), []byte(text), root+"/"+name))
	return daytona.NewLspServerService(sandbox.ToolboxClient, language, root, nil), root + "/" + name
}

// A server that runs while the test does, and its open file.
func opened(t *testing.T, language types.LspLanguageID) (*daytona.LspServerService, string) {
	t.Helper()
	server, path := project(t, language)
	Ok(t, server.Start(Context(t)))
	t.Cleanup(func() { _ = server.Stop(t.Context()) })
	Ok(t, server.DidOpen(Context(t), path))
	return server, path
}

func symbols(t *testing.T, untyped []any, err error) map[string]symbol {
	t.Helper()
	found := map[string]symbol{}
	for _, one := range As[[]symbol](t, Must(untyped, err)(t)) {
		found[one.Name] = one
	}
	return found
}

func eachLanguage(t *testing.T, claim func(*testing.T, types.LspLanguageID)) {
	for _, language := range []types.LspLanguageID{types.LspLanguagePython, types.LspLanguageTypeScript} {
		t.Run(string(language), func(t *testing.T) { claim(t, language) })
	}
}

func TestCompletionsKnowTheMembers(t *testing.T) {
	eachLanguage(t, func(t *testing.T, language types.LspLanguageID) {
		server, path := opened(t, language)
		untyped := Must(server.Completions(Context(t), path, behindThePoint))(t)
		found := As[struct{ Items []struct{ Label string } }](t, untyped)
		for _, item := range found.Items {
			if strings.HasPrefix(item.Label, "greet") {
				return
			}
		}
		t.Fatalf("no greet among %d: %+v", len(found.Items), found)
	})
}

func TestSymbolsOfADocumentHaveNamesAndPlaces(t *testing.T) {
	eachLanguage(t, func(t *testing.T, language types.LspLanguageID) {
		server, path := opened(t, language)
		untyped, err := server.DocumentSymbols(Context(t), path)
		found := symbols(t, untyped, err)
		Same(t, found["Greeter"].Location.URI, "file://"+path)
		Same(t, found["Greeter"].Location.Range.Start.Line, 0)
		Same(t, found["greet"].Location.Range.Start.Line, 1)
	})
}

func TestSymbolsAreFoundInTheWholeProject(t *testing.T) {
	eachLanguage(t, func(t *testing.T, language types.LspLanguageID) {
		server, path := opened(t, language)
		untyped, err := server.SandboxSymbols(Context(t), "Greeter")
		Same(t, symbols(t, untyped, err)["Greeter"].Location.URI, "file://"+path)
		untyped, err = server.SandboxSymbols(Context(t), "NobodyHasThisName")
		Same(t, len(symbols(t, untyped, err)), 0)
	})
}

func TestAChangeOnDiskIsSeenAtOnceAndAClosedFileCanBeAskedAbout(t *testing.T) {
	server, path := opened(t, types.LspLanguagePython)
	Ok(t, languageBox(t).FileSystem.UploadFile(Context(t), []byte("class Changed: pass\n"), path))
	for range 2 {
		untyped, err := server.DocumentSymbols(Context(t), path)
		found := symbols(t, untyped, err)
		Same(t, len(found), 1)
		Same(t, found["Changed"].Name, "Changed")
		Ok(t, server.DidClose(Context(t), path))
	}
}

func TestAServerThatWasNotStartedOrWasStoppedSaysSo(t *testing.T) {
	server, path := project(t, types.LspLanguagePython)
	refused := func() {
		t.Helper()
		_, err := server.DocumentSymbols(Context(t), path)
		Refused(t, err, 400)
		if !strings.Contains(err.Error(), "start") {
			t.Fatal(err)
		}
	}
	refused()
	Ok(t, server.Start(Context(t)))
	Ok(t, server.Start(Context(t)))
	Ok(t, server.DidOpen(Context(t), path))
	Ok(t, server.Stop(Context(t)))
	refused()
}

func TestADocumentThatIsMissingIsNotFound(t *testing.T) {
	server, path := opened(t, types.LspLanguagePython)
	missing := strings.Replace(path, "main.py", "no-such-file.py", 1)
	Refused(t, server.DidOpen(Context(t), missing), 404)
}
