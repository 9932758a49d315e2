// node smtp_server.js MODULE PORT FOLDER: takes everything, each recipient's copy into FOLDER/LOCAL-PART/new; to
// stdout a line of JSON for each envelope.
const [module_path, port, folder] = process.argv.slice(2);
const { SMTPServer } = require(module_path);
const fs = require('fs');
let count = 0;

const server = new SMTPServer({
	name: 'mx.node.example',
	authOptional: true,
	disabledCommands: ['AUTH', 'STARTTLS'],
	size: 100000000,
	onData(stream, session, callback) {
		const pieces = [];
		stream.on('data', (piece) => pieces.push(piece));
		stream.on('end', () => {
			console.log(JSON.stringify(session.envelope));
			for (const { address } of session.envelope.rcptTo) {
				const box = `${folder}/${address.slice(0, address.lastIndexOf('@'))}`;
				fs.mkdirSync(`${box}/new`, { recursive: true });
				fs.writeFileSync(`${box}/part`, Buffer.concat(pieces));
				fs.renameSync(`${box}/part`, `${box}/new/${++count}`);
			}
			callback(null, 'taken');
		});
	},
});
server.listen(Number(port), '127.0.0.1');
