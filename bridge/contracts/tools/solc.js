// The compiler from npm, in three roles: forge's `solc` (--version, --standard-json), and the maker of artifacts
// (--artifacts FOLDER). $DSM_NPM is the node_modules folder that holds it.
const fs = require('fs'), path = require('path'), crypto = require('crypto');
const solc = require(path.join(process.env.DSM_NPM || 'node_modules', 'solc'));

const VERSION = '0.8.37';
// The same stand in foundry.toml. `london` is the oldest of the forks that the target chains may run.
const SETTINGS = {
  evmVersion: 'london',
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: 'none' },
};

const root = path.dirname(__dirname);
const args = process.argv.slice(2);
const option = name => args.includes(name) ? args[args.indexOf(name) + 1] : undefined;

// forge sends paths below --base-path and expects the compiler to read what they import.
function reader(roots) {
  return file => {
    for (const folder of roots) {
      const found = path.resolve(folder, file);
      if (fs.existsSync(found)) return { contents: fs.readFileSync(found, 'utf8') };
    }
    return { error: 'not found: ' + file };
  };
}

function sources(folder) {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const name = folder + '/' + entry.name;
    return entry.isDirectory() ? sources(name) : name.endsWith('.sol') ? [name] : [];
  }).sort();
}

function artifacts(folder) {
  if (!solc.version().startsWith(VERSION + '+')) throw new Error('solc ' + VERSION + ' is asked for, this is ' + solc.version());
  const texts = Object.fromEntries(sources('src').map(name => [name, { content: fs.readFileSync(path.join(root, name), 'utf8') }]));
  const input = {
    language: 'Solidity', sources: texts,
    settings: { ...SETTINGS, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object', 'storageLayout'], '': ['ast'] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const messages = output.errors || [];
  messages.forEach(message => process.stderr.write(message.formattedMessage));
  if (messages.length > 0) throw new Error('the compiler is not content');
  // One artifact for each contract that can be deployed by itself.
  const deployable = Object.keys(texts).flatMap(file => output.sources[file].ast.nodes
    .filter(node => node.nodeType === 'ContractDefinition' && node.contractKind === 'contract' && !node.abstract)
    .map(node => [node.name, file]));
  for (const [name, file] of deployable) {
    const contract = output.contracts[file][name];
    const slot = contract.storageLayout.storage.find(row => row.label === 'outbox');
    // What an edit of this contract's bytes would have to touch: the file and all that it imports.
    const reached = new Set();
    const reach = at => {
      if (reached.has(at)) return;
      reached.add(at);
      for (const node of output.sources[at].ast.nodes) if (node.nodeType === 'ImportDirective') reach(node.absolutePath);
    };
    reach(file);
    const size = contract.evm.deployedBytecode.object.length / 2;
    if (size > 24576) throw new Error(name + ' has ' + size + ' bytes, above the 24,576 of EIP-170');
    const artifact = {
      contract: name,
      compiler: { version: solc.version(), ...SETTINGS },
      sources: Object.fromEntries([...reached].sort().map(at => [at, crypto.createHash('sha256').update(texts[at].content).digest('hex')])),
      ...(slot && { outboxSlot: Number(slot.slot) }),
      deployedBytes: size,
      abi: contract.abi,
      bytecode: '0x' + contract.evm.bytecode.object,
    };
    fs.writeFileSync(path.join(folder, name + '.json'), JSON.stringify(artifact, null, 1) + '\n');
    process.stdout.write(name + ': ' + size + ' bytes\n');
  }
}

if (args.includes('--version')) {
  process.stdout.write('solc, the solidity compiler commandline interface\nVersion: ' + solc.version() + '\n');
} else if (args.includes('--standard-json')) {
  const roots = [option('--base-path'), option('--include-path'), process.cwd()].filter(Boolean);
  process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8'), { import: reader(roots) }));
} else if (option('--artifacts')) {
  artifacts(option('--artifacts'));
} else {
  process.stderr.write('unsupported: ' + args.join(' ') + '\n');
  process.exit(1);
}
