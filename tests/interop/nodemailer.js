// node nodemailer.js PORT SENDER RECIPIENT,... FILE: sends the file as it is.
// node nodemailer.js PORT SENDER RECIPIENT,... --compose: lets nodemailer write the message.
// The module is Debian's, which a Node.js of another origin does not look for.
module.paths.push('/usr/share/nodejs');
const nodemailer = require('nodemailer');
const fs = require('fs');

const [port, from, to, what] = process.argv.slice(2);
const transport = nodemailer.createTransport({
	host: '127.0.0.1', port: Number(port), secure: false, ignoreTLS: true, name: 'node.example',
});
const envelope = { from, to: to.split(',') };
const composed = {
	envelope, from, to, subject: 'Grüße aus Köln', text: 'Zeile eins\n.\n..zwei\n',
	attachments: [{ filename: 'octets.bin', content: Buffer.from([...Array(5000).keys()].map((n) => n % 256)) }],
};

transport.sendMail(what === '--compose' ? composed : { envelope, raw: fs.readFileSync(what) }, (error, info) => {
	if (error || info.rejected.length) {
		console.error(error || info);
		process.exit(1);
	}
	console.log(info.response);
});
