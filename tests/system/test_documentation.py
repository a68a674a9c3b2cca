"""docs/adding-a-module.md: its module is taken from the page, built exactly as written, loaded and asked."""
# tests/run.sh: first, for it compiles long.
import re
import unittest

from fleet import ROOT, FleetCase
from own_module import build_module

PAGE = ROOT / "docs" / "adding-a-module.md"


def blocks(text):
    """Path -> text of each fenced block that is introduced by a line naming its file in backticks and ending in a colon."""
    return {path: body for path, body in re.findall(r"^[^\n]*`([^`\n]+)`[^\n`]*:\n\n?```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)}


class Documentation(FleetCase):
    def test_a_page_comes_apart_into_its_files(self):
        page = "Write `a/b.cpp`:\n\n```cpp\nint x;\n```\n\nThen `c.yaml` like this:\n```yaml\nx: 1\n```\nAnd no file:\n```\nnone\n```\n"
        self.assertEqual(blocks(page), {"a/b.cpp": "int x;\n", "c.yaml": "x: 1\n"})

    def test_the_module_of_the_page_is_built_loaded_and_answers(self):
        files = blocks(PAGE.read_text())
        sources = [path for path in files if re.fullmatch(r"modules/(\w+)/\w+\.cpp", path)]
        self.assertTrue(sources, f"no `modules/NAME/NAME.cpp` in {PAGE}: {list(files)}")
        name = sources[0].split("/")[1]
        for path, text in files.items():
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        includes = {line for path in sources for line in re.findall(r"#include\s+(\S+)", files[path])}
        self.assertFalse({line for line in includes if "core/" in line}, "a module includes <gorgone/…> and its own files only")
        library = self.directory / f"{name}.so"
        build_module(library, *(self.directory / path for path in sources))

        method, path = re.search(r'"(GET|POST)"\s*,\s*"(/[\w/]+)"', files[sources[0]]).groups()
        central = self.make_central()
        central.nodes()
        central.configure("60-module", {"modules": [{"name": name, "library": str(library)}]})
        central.start()
        self.assertNotIn(" - ERROR - ", central.log())
        body = [] if method == "POST" else None
        status, answer = central.api().request(method, f"/api{path}?log_wait=5000000", body)
        self.assertEqual(status, 200, answer)
        self.assertEqual([row["code"] for row in answer["data"]][-1], 2, answer)

    def test_every_link_of_a_page_leads_to_a_file(self):
        pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("modules/*/README.md")]
        links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())]
        self.assertTrue(links)
        self.assertEqual([f"{page.relative_to(ROOT)}: {link}" for page, link in links if not (page.parent / link).exists()], [])


if __name__ == "__main__":
    unittest.main()
