import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config({ ignores: ["src/stub.js"] }, js.configs.recommended, ...tseslint.configs.strictTypeChecked, {
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  rules: {
    // What a model wrote becomes HTML in one place only: render.ts, behind the sanitiser.
    "no-restricted-properties": ["error", { property: "innerHTML" }, { property: "outerHTML" }, { property: "insertAdjacentHTML" }],
    "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    // The runner awaits what test() gives.
    "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: [{ from: "package", name: "test", package: "node:test" }] }],
    complexity: ["error", 12],
    "max-lines": ["error", 320],
    "max-lines-per-function": ["error", 70],
  },
});
