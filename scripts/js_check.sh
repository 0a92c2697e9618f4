# Types, lint and unit tests of js/, and whether the built page in the package is what its source gives, byte for byte.
# Without Node, or where no package registry answers, it says so and leaves it: the built page is committed, and browser tests
# try that one. GATHERING_REQUIRE_NODE=1 makes it a failure.
cd "$(dirname "$0")/../js" || exit 1

skip() {
    echo "js-check: not done, $1"
    [ -z "${GATHERING_REQUIRE_NODE:-}" ]
    exit $?
}

command -v node >/dev/null && command -v npm >/dev/null || skip "there is no Node here (apt install nodejs npm)"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || skip "Node $major is older than 20"
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then
    npm ci --silent --no-audit --no-fund >/dev/null 2>&1 || skip "npm ci failed (is a package registry reachable?)"
    touch node_modules
fi

set -e
npx --no-install tsc --noEmit
npx --no-install eslint src tests
rm -rf build
node build.mjs --test
node --test build/ >build/report.txt || { cat build/report.txt; exit 1; }
node build.mjs build/static
for file in panel.js math.js stub.js stub.css NOTICES.txt; do
    cmp "build/static/$file" "../gathering/notebook/static/$file" || { echo "js-check: run  make js  and commit $file"; exit 1; }
done
echo "js-check: types, lint, $(grep -c '^ok' build/report.txt) tests, and the built page is up to date"
