// node submission.js PORT SECURE MECHANISM USER PASSWORD CA FILE: hands the file in.
module.paths.push('/usr/share/nodejs');
const nodemailer = require('nodemailer');
const fs = require('fs');

const [port, secure, authMethod, user, pass, ca, file] = process.argv.slice(2);
const transport = nodemailer.createTransport({
	host: 'localhost', port: Number(port), secure: secure === 'yes', requireTLS: true, name: 'node.example', authMethod,
	auth: { user, pass }, tls: { ca: fs.readFileSync(ca) },
});

transport.sendMail({ envelope: { from: user, to: [user] }, raw: fs.readFileSync(file) }, (error, info) => {
	if (error) {
		console.error(error);
		process.exit(1);
	}
	console.log(info.response);
});
