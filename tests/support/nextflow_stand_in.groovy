// Evaluates a Nextflow pipeline as the Groovy that it is, with what of the language its example uses: processes with one
// value each, channels of values, and tasks in work folders of their own, side by side, by `bash -ue`, tried again as told.
// groovy nextflow_stand_in.groovy main.nf

import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths

abstract class Pipeline extends Script {
    static Map<String, Closure> processes = [:]
    static Map<String, String> inputs = [:]
    static List<Map> tasks = [].asSynchronized()

    def process(Map declared) { processes[declared.name] = declared.body }

    def workflow(Closure body) { body.delegate = this; body() }

    // `process measure { ... }` is a call of `measure`, whose result `process` is called with; later it is a call of the process.
    def methodMissing(String name, arguments) {
        def argument = arguments[0]
        if (argument instanceof Closure && !processes[name]) return [name: name, body: argument]
        if (!processes[name]) throw new MissingMethodException(name, this.class, arguments)
        def values = argument instanceof Values ? argument.list : [argument]
        values.collect { value -> Thread.start { new Task(this, name, value).run() } }*.join()
        def failed = tasks.findAll { it.code != 0 && it.isLast }
        if (failed) throw new RuntimeException("failed: ${failed}")
        new Values(list: values)
    }
}

class Values {
    List list

    def splitCsv(Map options) {
        def lines = list[0].readLines()
        def names = lines[0].split(',')
        new Values(list: lines.drop(1).collect { [names, it.split(',', -1)].transpose().collectEntries { it } })
    }

    def map(Closure change) { new Values(list: list.collect(change)) }

    def unique() { new Values(list: new ArrayList(list).unique()) }

    def collect() { new Values(list: [list]) }
}

class Channel {
    static fromPath(path) { new Values(list: [new File(path.toString())]) }
}

class Task {
    Script script
    String name
    def value
    int retries = 0

    Task(Script script, String name, value) { this.script = script; this.name = name; this.value = value }

    def errorStrategy(String what) { assert what == 'retry' }

    def maxRetries(int n) { retries = n }

    def val(what) { what }

    def getParams() { script.binding.getVariable('params') }

    def propertyMissing(String asked) { asked == Pipeline.inputs[name] ? value : null }

    void run() {
        Closure body = (Closure) Pipeline.processes[name].clone()
        body.delegate = this
        body.resolveStrategy = Closure.DELEGATE_FIRST
        String commands = body().toString()
        for (int attempt = 0; attempt <= retries; attempt++) {
            Path work = Files.createTempDirectory(Files.createDirectories(Paths.get('work')), name)
            work.resolve('.command.sh').toFile().text = "#!/bin/bash -ue\n${commands.stripIndent().trim()}\n"
            def builder = new ProcessBuilder('bash', '-ue', '.command.sh').directory(work.toFile())
            builder.redirectErrorStream(true).redirectOutput(work.resolve('.command.log').toFile())
            int code = builder.start().waitFor()
            Pipeline.tasks << [name: name, code: code, isLast: code == 0 || attempt == retries]
            if (code == 0) return
        }
    }
}

def text = new File(args[0]).text
(text =~ /process (\w+) \{[\s\S]*?input:\s+val (\w+)/).each { Pipeline.inputs[it[1]] = it[2] }
def configuration = new org.codehaus.groovy.control.CompilerConfiguration(scriptBaseClass: 'Pipeline')
def binding = new Binding([launchDir: new File('.').absoluteFile.parent, params: [:]])
new GroovyShell(this.class.classLoader, binding, configuration).evaluate(text)
Pipeline.tasks.each { println "${it.name} ${it.code}" }
