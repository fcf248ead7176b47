"""Runs the JavaScript of its standard input in a page of the service, as `node` would, and prints
what it logs: the tests have a browser everywhere, but not Node. Both have `fetch`, `FormData`,
`Blob` and streams, which is all that the recipes use.
"""

from __future__ import annotations

import os
import sys

from playwright.sync_api import sync_playwright

from scripts.install_browser import FLAGS, find


def main() -> None:
    code = sys.stdin.read()
    path = find()
    assert path is not None, "there is no Chromium; run scripts/install_browser.py"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        # The policy of the page allows only its own scripts.
        page = browser.new_page(bypass_csp=True)
        page.on("console", lambda message: print(message.text, flush=True))
        page.goto(f"{os.environ['GRANULA_URL']}/health")
        page.evaluate(f"async () => {{ {code} }}")
        browser.close()


if __name__ == "__main__":
    main()
