// Writes the sources of an application of twelve pages: each a chunk of its own with a style
// sheet, and all with the same components and libraries.
//
//     node generate.mjs DIRECTORY before|after
//
// After the change, one line of one page is another.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [directory, edition] = process.argv.slice(2)
const pages = [
  'account', 'calendar', 'contacts', 'dashboard', 'documents', 'help',
  'invoices', 'mail', 'projects', 'reports', 'settings', 'team',
]

const write = (path, lines) => writeFileSync(join(directory, path), lines.join('\n') + '\n')

// The same words on each run.
let state = 1
const random = (limit) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * limit)
}
const syllables = ['ka', 'lo', 'mi', 'ren', 'su', 'ta', 'vel', 'dor', 'an', 'is', 'or', 'eth']
const word = () => Array.from({ length: 1 + random(4) }, () => syllables[random(12)]).join('')
const sentence = () => Array.from({ length: 5 + random(12) }, word).join(' ') + '.'
const many = (count, make) => Array.from({ length: count }, (_, index) => make(index))

const page = (name) => [
  "import { createElement as h, useState } from 'react'",
  "import { Panel, Table, format } from './components.js'",
  `import './${name}.css'`,
  `const rows = [`,
  ...many(120, (i) => `  { id: ${i}, name: '${word()}', amount: ${random(100000)} },`),
  ']',
  ...many(60, (i) => `const text${i} = '${sentence()}'`),
  `export default function Page() {`,
  '  const [open, setOpen] = useState(0)',
  `  const title = '${name}${name === 'invoices' && edition === 'after' ? ' of this year' : ''}'`,
  '  return h(Panel, { title, open, onToggle: () => setOpen(open + 1) },',
  '    h(Table, { rows, format }),',
  ...many(60, (i) => `    h('p', { className: '${name}-${i}' }, text${i}, format(open + ${i})),`),
  '  )',
  '}',
]

const style = (name) =>
  many(80, (i) => `.${name}-${i} { margin: ${random(20)}px; color: #${(random(900) + 100)} }`)

mkdirSync(join(directory, 'src'), { recursive: true })
for (const name of pages) {
  write(`src/${name}.js`, page(name))
  write(`src/${name}.css`, style(name))
}
write('src/components.js', [
  "import { createElement as h } from 'react'",
  'export const format = (number) => new Intl.NumberFormat().format(number)',
  'export const Panel = ({ title, onToggle, children }) =>',
  "  h('section', null, h('h1', { onClick: onToggle }, title), children)",
  'export const Table = ({ rows, format }) =>',
  "  h('table', null, h('tbody', null, rows.map((row) =>",
  "    h('tr', { key: row.id }, h('td', null, row.name), h('td', null, format(row.amount))))))",
  ...many(100, (i) => `export const help${i} = () => h('aside', null, '${sentence()}')`),
])
write('src/main.js', [
  "import { Suspense, createElement as h, lazy } from 'react'",
  "import { createRoot } from 'react-dom/client'",
  "import * as components from './components.js'",
  "import './main.css'",
  'const pages = {',
  ...pages.map((name) => `  ${name}: lazy(() => import('./${name}.js')),`),
  '}',
  'globalThis.components = components',
  "const name = location.hash.slice(1) || 'dashboard'",
  "createRoot(document.getElementById('app')).render(h(Suspense, null, h(pages[name])))",
])
write('src/main.css', many(200, (i) => `.main-${i} { padding: ${random(40)}px }`))
write('index.html', [
  '<!doctype html>',
  '<title>App</title>',
  '<div id="app"></div>',
  '<script type="module" src="/src/main.js"></script>',
])
